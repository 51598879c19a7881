"""`hie inbox`: what hospitals sent and what became of it; a message that failed can be looked at and tried again."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from adapters import hospitals
from adapters.inbox import replay
from exchange.intake import inbox_of
from exchange.opening import Opened, opened
from exchange.settings import Settings
from fhir_server.store.inbox import STATES, Message


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=tuple(ACTIONS), default="list")
    parser.add_argument("ids", nargs="*", metavar="ID", help="messages to show or replay; replay without one: all that failed")
    parser.add_argument("--state", choices=STATES, help="list only these")
    parser.add_argument("--limit", type=int, default=100, help="list at most so many (default 100)")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    async with opened(settings) as exchange:
        try:
            return await ACTIONS[arguments.action](exchange, arguments)
        except LookupError as error:
            print(f"hie: {error}", file=sys.stderr)
            return 1


async def _list(exchange: Opened, arguments: argparse.Namespace) -> int:
    for one in await exchange.inbox.newest(arguments.state, arguments.limit):
        what = one.reason or (f"unmapped: {' '.join(one.unmapped)}" if one.unmapped else "")
        print(f"{one.id}  {_moment(one)}  {one.sender:<16} {one.state:<8} {what}")
    return 0


async def _show(exchange: Opened, arguments: argparse.Namespace) -> int:
    """With the message itself: this is for those who keep the exchange and may read what it stores."""
    for one in [await exchange.inbox.get(known) for known in arguments.ids]:
        print(f"id        {one.id}\nsender    {one.sender}\nreceived  {_moment(one)}\nstate     {one.state}")
        print(f"attempts  {one.attempts}\nreason    {one.reason}\nunmapped  {' '.join(one.unmapped)}")
        print(f"notes     {'; '.join(one.notes)}\n\n{one.raw.decode('utf-8', 'replace').replace(chr(13), chr(10))}")
    return 0


async def _replay(exchange: Opened, arguments: argparse.Namespace) -> int:
    ids: Sequence[str] = arguments.ids or [one.id async for one in exchange.inbox.kept("failed")]
    inbox, known = inbox_of(exchange), hospitals.load(exchange.settings.region)
    codes = []
    for one in ids:
        ack = await replay(inbox, known, one)
        print(f"{one}  {ack.code}  {ack.reason}")
        codes.append(ack.code)
    return 0 if set(codes) <= {"AA"} else 1


ACTIONS = {"list": _list, "show": _show, "replay": _replay}


def _moment(message: Message) -> str:
    return datetime.fromtimestamp(message.received / 1000, UTC).isoformat(timespec="seconds")
