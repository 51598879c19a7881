"""One run: start the exchange, fill it, measure each way in and out beside the raw driver, report, and take it all away."""

import argparse
import asyncio
import json
import signal
from collections.abc import Awaitable
from pathlib import Path

import uvloop
from tqdm import tqdm

from benchmarks import creating, disk, everything, messaging, pairing, raw, reading, report, starting
from benchmarks.ingesting import ingest
from benchmarks.measuring import Measured
from benchmarks.report import Row
from benchmarks.servers import Server, folder, serving
from exchange.bench import arguments

CLIENTS = {"reads": (1, 64), "searches": (1, 64, 128)}
STEPS = 2 * sum(map(len, CLIENTS.values())) + 9


async def main(wanted: argparse.Namespace) -> None:
    _stop_on(signal.SIGTERM)
    with folder(wanted.data) as data:
        async with serving(data) as exchange, raw.driver(exchange) as driver:
            loaded, names = await ingest(exchange, wanted.resources)
            sizes = await disk.sizes(exchange)
            rows = [Row("ingest", loaded, await raw.ingest(driver, names.sizes))]
            with tqdm(total=STEPS, unit=" measures", disable=None) as steps:
                rows += await _reads(exchange, driver, names.names, wanted.seconds, steps)
                rows += await _lives(exchange, driver, wanted.seconds, steps)
                rows += [await _creates(exchange, driver, names.names, wanted.seconds, steps)]
                rows += [await _messages(exchange, driver, wanted.seconds, steps)]
                rows += await _rounds(exchange, steps)
        rows.append(Row("start to first answer", await starting.starts(data)))
    print(report.table(rows, sizes, names.tail_rate()))
    if wanted.json:
        wanted.json.write_text(json.dumps(report.plain(rows, sizes, names.tail_rate()), indent=2) + "\n")


async def _reads(server: Server, driver: raw.Raw, names: list[str], seconds: float, steps: "tqdm[None]") -> list[Row]:
    """Reads and searches; the raw driver asks for the same right after the exchange was asked."""
    readable, searches = await reading.readable(server, names), reading.searches(names)
    rows = []
    for kind, targets, finding in (("reads", readable, raw.reads), ("searches", searches, raw.searches)):
        for clients in CLIENTS[kind]:
            name = f"{kind}, {clients} client{'s' * (clients > 1)}"
            ours = await _step(steps, name, reading.asked(server, targets, clients, seconds))
            rows.append(Row(name, ours, await _step(steps, f"raw {name}", finding(driver, targets, clients, seconds))))
    return rows


async def _lives(server: Server, driver: raw.Raw, seconds: float, steps: "tqdm[None]") -> list[Row]:
    patient, name = await everything.life(server), "$everything of 1,000"
    steps.set_description(name)
    whole, _ = await everything.lives(server, patient, everything.CLIENTS, seconds)
    _, first = await everything.lives(server, patient, 1, seconds / 2)
    steps.update()
    beside = await _step(steps, f"raw {name}", everything.raw_lives(driver, patient, seconds))
    return [Row(name, whole, beside), Row("its first byte", first)]


async def _creates(server: Server, driver: raw.Raw, names: list[str], seconds: float, steps: "tqdm[None]") -> Row:
    requests = await creating.sample(server, names)
    name = f"creates, {creating.CLIENTS} clients"
    ours = await _step(steps, name, creating.creates(server, requests, creating.CLIENTS, seconds))
    return Row(name, ours, await _step(steps, f"raw {name}", raw.creates(driver, creating.CLIENTS, seconds)))


async def _messages(server: Server, driver: raw.Raw, seconds: float, steps: "tqdm[None]") -> Row:
    name = "MLLP messages"
    ours = await _step(steps, name, messaging.messages(server, seconds))
    return Row(name, ours, await _step(steps, f"raw {name}", raw.messages(driver, messaging.CONNECTIONS)))


async def _rounds(server: Server, steps: "tqdm[None]") -> list[Row]:
    async with pairing.filled(server) as telemedicine:
        paired = Row("pairing", await _step(steps, "pairing", pairing.pairing(telemedicine)))
        decided = Row("pairing, with reading", await _step(steps, "round", pairing.deciding(telemedicine)))
    return [paired, decided, Row("pairing, with holds", await _step(steps, "round with holds", pairing.whole(server)))]


def _stop_on(number: signal.Signals) -> None:
    """End as Ctrl-C does: the exchange is stopped and its folder goes."""
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(number, running.cancel)


async def _step(steps: "tqdm[None]", name: str, measure: Awaitable[Measured]) -> Measured:
    steps.set_description(name)
    measured = await measure
    steps.update()
    return measured


if __name__ == "__main__":
    parser = argparse.ArgumentParser("hie bench")
    parser.add_argument("--data", type=Path)
    arguments(parser)
    uvloop.run(main(parser.parse_args()))
