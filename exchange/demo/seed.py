"""The demo region on first start: three institutions push what they know about their people, over MLLP, as real ones would."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from adapters import hospitals, mllp
from exchange.demo.lives import messages
from exchange.demo.residents import residents
from exchange.opening import Opened
from exchange.settings import DEMO_REGION

AT_ONCE = 32


async def seed_once(exchange: Opened, port: int) -> None:
    """Send the demo's messages if this is the demo region and the inbox has never seen any."""
    if exchange.settings.region != DEMO_REGION or await exchange.database["inbox"].find_one({}, {"_id": 1}):
        return
    wanted = shares()
    count = sum(map(len, wanted.values()))
    with tqdm(total=count, unit=" messages", desc="seeding the demo region", file=sys.stderr) as progress:
        await push(exchange.settings.mllp_host, port, wanted, progress.update)


def shares() -> dict[str, list[bytes]]:
    """Institution -> its messages."""
    everyone = residents()
    return {name: messages(hospital, everyone) for name, hospital in hospitals.load(DEMO_REGION).items()}


async def push(host: str, port: int, wanted: Mapping[str, Sequence[bytes]], done: Callable[[int], Any]) -> None:
    """Each institution's messages over a connection of its own, all at once; RuntimeError if one is not accepted."""
    await asyncio.gather(*(_client(host, port, messages, done) for messages in wanted.values()))


async def _client(host: str, port: int, messages: Sequence[bytes], done: Callable[[int], Any]) -> None:
    for start in range(0, len(messages), AT_ONCE):
        replies = await mllp.send(host, port, messages[start : start + AT_ONCE])
        refused = [reply for reply in replies if b"MSA|AA|" not in reply]
        if refused:
            raise RuntimeError(f"the demo region was refused: {refused[0].decode('utf-8', 'replace')}")
        done(len(replies))
