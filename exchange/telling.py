"""`hie demo`: an exchange of its own, and the story of the demo region told on it with real traffic, step by step."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from exchange.demo.story import consenting, consulting, looking, sharing
from exchange.demo.story.stage import NotAsTold, Stage
from exchange.serving import Served, served
from exchange.settings import SettingError, Settings

Step = tuple[str, Callable[[Stage], Awaitable[None]]]

STEPS: tuple[Step, ...] = (
    ("Two hospitals and a clinic send what they know (HL7 v2 over MLLP)", sharing.send),
    ("Dr B, of hospital B, reads what hospital A wrote", sharing.read_across),
    ("A sensitive diagnosis reads as absent", consenting.sensitive),
    ("The patient lets hospital B see it, then withdraws", consenting.withdraw),
    ("The patient denies hospital B altogether", consenting.deny),
    ("An emergency: Dr B breaks the glass", consenting.break_glass),
    ("The patient looks for an expert who speaks her language", consulting.find),
    ("The record is closed to everybody; booking opens it to one expert", consulting.book),
    ("They meet: signalling over WebSocket", consulting.meet),
    ("The expert closes, and has no access any more", consulting.close),
    ("The patient sees who looked", looking.access_log),
    ("The log proves to be whole", looking.verify),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit code 0: every step came out as told; 1: one did not, and the story stops there"


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Tell it in a new folder (`--data`, else a temporary one) and with default settings, whatever the environment says."""
    with _place(arguments.data) as data:
        async with served(Settings(data=data, port=0, mllp_port=0), asyncio.Event()) as up:
            return await tell(up)


async def tell(up: Served, steps: Sequence[Step] = STEPS, say: Callable[[str], None] = print) -> int:
    """The story on an exchange that nobody has used; the exit code."""
    say(f"The story of a region, on {up.url} (long ids cut short)")
    async with httpx.AsyncClient(timeout=60) as client:
        stage = Stage(up, client, say)
        for number, (title, step) in enumerate(steps, 1):
            say(f"\n{number:>2}  {title}")
            try:
                await step(stage)
            except NotAsTold as told:
                say(f"\nNOT as told. {told}")
                return 1
    say("\nEvery step came out as told.")
    return 0


@contextmanager
def _place(data: Path | None) -> Iterator[Path]:
    if data is None:
        with tempfile.TemporaryDirectory(prefix="hie-demo-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    if data.exists() and any(data.iterdir()):
        raise SettingError(f"{data} is in use: the story needs a new folder, or none, for a temporary one")
    yield data
    print(f"its data are in {data}: look around with 'hie serve --data {data}'", file=sys.stderr)
