"""`hie inbox`: what hospitals sent and what became of it; a message that failed can be looked at and tried again."""

import argparse
import sys

from adapters import hospitals
from adapters.inbox import replay
from exchange.intake import inbox_of
from exchange.opening import opened
from exchange.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "show", "replay"), default="list")
    parser.add_argument("ids", nargs="*", metavar="ID", help="messages to show or replay; replay without one: all that failed")
    parser.add_argument("--state", choices=("received", "done", "failed"), help="list only these")
    parser.add_argument("--limit", type=int, default=100, help="list at most so many (default 100)")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    async with opened(settings) as exchange:
        inbox = inbox_of(exchange)
        try:
            if arguments.action == "list":
                return _print(await inbox.store.list(arguments.state, arguments.limit))
            if arguments.action == "show":
                return _show([await inbox.store.get(one) for one in arguments.ids])
            ids = arguments.ids or [one.id for one in await inbox.store.list("failed", arguments.limit)]
            known = hospitals.load(settings.region)
            answers = [(one, await replay(inbox, known, one)) for one in ids]
        except LookupError as error:
            print(f"hie: {error}", file=sys.stderr)
            return 1
    for one, ack in answers:
        print(f"{one}  {ack.code}  {ack.reason}")
    return 0 if all(ack.code == "AA" for _, ack in answers) else 1


def _print(entries):  # type: ignore[no-untyped-def]
    for one in entries:
        received = one.received.astimezone().isoformat(timespec="seconds")
        print(f"{one.id}  {received}  {one.sender:<16} {one.state:<8} {one.reason or ' '.join(one.unmapped)}")
    return 0


def _show(entries):  # type: ignore[no-untyped-def]
    """With the message itself: this is for those who keep the exchange and may read what it stores."""
    for one in entries:
        print(f"id: {one.id}\nsender: {one.sender}\nreceived: {one.received}\nstate: {one.state}\nattempts: {one.attempts}")
        print(f"reason: {one.reason}\nunmapped: {' '.join(one.unmapped)}\nnotes: {'; '.join(one.notes)}\n")
        print(one.raw.decode("utf-8", "replace").replace("\r", "\n"))
    return 0


