"""Telemedicine's pairing round at the region's size: 4,200 experts, 10,000 open requests.

Three measures: the pairing itself, which is pure; what a round decides, with reading the requests and the experts' free times;
and a whole round through its own door, in which each pair is held in a transaction of its own.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from tqdm import tqdm

from benchmarks.clients import Http, connected, request, required
from benchmarks.measuring import Measured
from benchmarks.servers import HOST, Server
from exchange.consultations import telemedicine_of
from exchange.opening import opened
from fhir_server.r4.dates import instant
from fhir_server.record.bookings import TELEMEDICINE
from telemedicine import rounds
from telemedicine.experts import EXPERTS, hospital_id, load
from telemedicine.finding import TELECONSULTATION
from telemedicine.pairing import URGENCY, pair
from telemedicine.requests import LANGUAGE
from telemedicine.service import Telemedicine
from telemedicine.specialties import SNOMED, SPECIALTIES

HOSPITAL = "hospital-t"
REQUESTS, PATIENTS, PER_BUNDLE = 10_000, 500, 500
DAYS = 2  # of Slots: so many that a whole day lies ahead at any hour
RUNS = 5
LONGEST_WAIT = 72 * 3_600_000  # ms
LANGUAGES = {"zh": 50, "ug": 35, "kk": 12, "en": 3}  # how often each is asked for, in percent


@asynccontextmanager
async def filled(server: Server) -> AsyncIterator[Telemedicine]:
    """Telemedicine over the store of the exchange, with its experts and open requests in it."""
    async with opened(replace(server.settings, mongodb_uri=server.mongodb)) as exchange:
        with tqdm(total=EXPERTS, unit=" experts", disable=None) as progress:
            await load(exchange.record, EXPERTS, DAYS, progress.update)
        async with connected(Http, HOST, server.port, 1) as (connection,):
            token = server.token("system", organization=HOSPITAL)
            for bundle in _bundles(exchange.record.clock()):
                await required(connection, request(token, "POST", "/fhir", orjson.dumps(bundle)), 200)
        yield telemedicine_of(exchange)


async def pairing(telemedicine: Telemedicine) -> Measured:
    """The min-cost flow and what is around it."""
    now = telemedicine.record.clock()
    waiting, times, _ = await rounds.decide(telemedicine, now)
    requests, experts = [one.request for one in waiting.values()], list(times)
    return await _timed(RUNS, lambda: asyncio.to_thread(pair, requests, experts, now))


async def deciding(telemedicine: Telemedicine) -> Measured:
    """From the store to the pairs."""

    async def decide() -> list[Any]:
        _, _, pairs = await rounds.decide(telemedicine, telemedicine.record.clock())
        return pairs

    return await _timed(RUNS, decide)


async def whole(server: Server) -> Measured:
    """POST /telemedicine/rounds, once: then nothing is open any more."""
    token = server.token("system", organization=TELEMEDICINE)

    async def run() -> list[Any]:
        async with connected(Http, HOST, server.port, 1) as (connection,):
            answer = await required(connection, request(token, "POST", "/telemedicine/rounds", b"{}"), 200)
        return [None] * int(orjson.loads(answer)["held"])

    return await _timed(1, run)


async def _timed(runs: int, run: Callable[[], Awaitable[list[Any]]]) -> Measured:
    """Each run must serve every request: there is room for all of them."""
    began, cpu, latencies = time.perf_counter(), time.process_time(), []
    for _ in range(runs):
        started = time.perf_counter()
        served = len(await run())
        latencies.append(time.perf_counter() - started)
        if served != REQUESTS:
            raise RuntimeError(f"a round served {served} of {REQUESTS} requests")
    return Measured(runs * REQUESTS, time.perf_counter() - began, sorted(latencies), time.process_time() - cpu)


def _bundles(now: int) -> Iterator[dict[str, Any]]:
    """Patients of one hospital, and the requests for them."""
    yield _bundle({"resourceType": "Patient", "id": f"{HOSPITAL}-{number}", "active": True} for number in range(PATIENTS))
    chance = random.Random(1)
    for start in range(0, REQUESTS, PER_BUNDLE):
        yield _bundle(_request(number, now, chance) for number in range(start, start + PER_BUNDLE))


def _bundle(resources: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_put(one) for one in resources]}


def _put(one: dict[str, Any]) -> dict[str, Any]:
    return {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}


def _request(number: int, now: int, chance: random.Random) -> dict[str, Any]:
    """Of a third, the own hospital is one that experts work in."""
    own = hospital_id(chance.randrange(EXPERTS)) if chance.random() < 1 / 3 else f"hospital-{chance.randrange(40)}"
    (language,) = chance.choices(tuple(LANGUAGES), weights=tuple(LANGUAGES.values()))
    return {
        "resourceType": "ServiceRequest",
        "id": f"{HOSPITAL}-{number}",
        "extension": [{"url": LANGUAGE, "valueCode": language}],
        "status": "active",
        "intent": "order",
        "priority": chance.choice(tuple(URGENCY)),
        "code": TELECONSULTATION,
        "subject": {"reference": f"Patient/{HOSPITAL}-{number % PATIENTS}"},
        "requester": {"reference": f"Organization/{own}"},
        "performerType": {"coding": [{"system": SNOMED, "code": chance.choice(tuple(SPECIALTIES))}]},
        "authoredOn": instant(now - chance.randrange(LONGEST_WAIT)),
    }
