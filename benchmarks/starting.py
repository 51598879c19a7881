"""From the command to the first answer: the exchange is started anew on a folder that it has served before."""

import time
from pathlib import Path

from benchmarks.clients import Http, connected, request
from benchmarks.measuring import Measured
from benchmarks.reading import clinician
from benchmarks.servers import HOST, serving

TIMES = 5


async def starts(data: Path) -> Measured:
    """Latencies from `hie serve` to the answer to a search, with all its processes up; the last one's are closed before."""
    began, cpu = time.perf_counter(), time.process_time()
    latencies = sorted([await _start(data) for _ in range(TIMES)])
    return Measured(TIMES, time.perf_counter() - began, latencies, time.process_time() - cpu)


async def _start(data: Path) -> float:
    began = time.perf_counter()
    async with serving(data) as server, connected(Http, HOST, server.port, 1) as (connection,):
        answer = await connection.ask(request(clinician(server), "GET", "/fhir/Patient?_count=1"))
        if answer.status != 200:
            raise RuntimeError(f"the first request was answered with {answer.status}")
        return time.perf_counter() - began
