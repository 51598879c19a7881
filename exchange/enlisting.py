"""`hie experts`: the region's remote experts and the times they offer in the coming days, synthetic, into the store."""

import argparse
import sys

from tqdm import tqdm

from exchange.opening import opened
from exchange.settings import Settings
from telemedicine.experts import EXPERTS, load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=EXPERTS, help=f"how many experts (default {EXPERTS})")
    parser.add_argument("--days", type=int, default=3, help="for how many days from today they offer times (default 3)")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    async with opened(settings) as exchange:
        with tqdm(total=arguments.count, unit=" experts", disable=None, file=sys.stderr) as progress:
            written = await load(exchange.record, arguments.count, arguments.days, progress.update)
    print(f"wrote {arguments.count} experts: {written} resources")
    return 0
