"""`hie reindex`: which custom search parameters are searchable, how far the indexing is, and indexing anew."""

import argparse
import asyncio
import sys

from tqdm import tqdm

from consent.caller import Caller
from exchange.opening import opened
from exchange.settings import Settings
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.record.context import Record
from fhir_server.record.parameters import Indexing, index_again, indexing

OPERATOR = Caller("hie reindex", "admin", purpose="SYSADMIN")
POLL_SECONDS = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit code 0: all is indexed; 1: not yet, and searches by what is being indexed are refused"
    parser.add_argument("types", nargs="*", metavar="TYPE", choices=[[], *RESOURCE_TYPES], help="index these types anew")
    parser.add_argument("--all", action="store_true", help="index everything anew, as after an update that indexes differently")
    parser.add_argument("--watch", action="store_true", help="wait until it is done")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    async with opened(settings) as exchange:
        wanted = RESOURCE_TYPES if arguments.all else arguments.types
        if wanted:
            await index_again(exchange.record, OPERATOR, wanted)
        now = await (_watched(exchange.record) if arguments.watch else indexing(exchange.record))
    for definition, is_ready in now.definitions:
        print(f"{definition.code:24} {'searchable' if is_ready else 'not yet':12} {definition.url}")
    print(now.state if now.state != "running" else f"running: {now.done} of {now.total} resources")
    return 0 if now.state == "done" else 1


async def _watched(record: Record) -> Indexing:
    """This process works at it, too, if no other does."""
    with tqdm(unit=" resources", disable=None, file=sys.stderr) as progress:
        while (now := await indexing(record)).state != "done":
            progress.total = now.total or None
            progress.update(now.done - progress.n)
            await asyncio.sleep(POLL_SECONDS)
    return now
