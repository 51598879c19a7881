"""The load clients tell answers apart however TCP cuts them (RFC 9112 section 6; MLLP release 1)."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mllp import frame
from benchmarks.clients import Answer, Chunked, Connection, Http, Mllp
from benchmarks.measuring import Measured

BODIES = st.lists(st.binary(max_size=40), min_size=1, max_size=4)
CUTS = st.lists(st.integers(0, 400), max_size=6)
MESSAGES = st.lists(st.binary(max_size=40).filter(lambda text: not {0x0B, 0x1C} & set(text)), min_size=1, max_size=4)


class _Sink(asyncio.Transport):
    def write(self, data: Any) -> None:
        """Requests go nowhere: the answers are given."""


async def _answers(connection: Connection, stream: bytes, cuts: list[int], count: int) -> list[Any]:
    connection.connection_made(_Sink())
    asked = [connection.ask(b"") for _ in range(count)]
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    for start, end in zip([0, *ends], ends, strict=False):
        connection.data_received(stream[start:end])
    return [await answer for answer in asked]


@settings(max_examples=60, deadline=None)
@given(BODIES, CUTS)
def test_http_answers_in_order(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\netag: x\r\n\r\n%s" % (len(one), one) for one in bodies)
    assert asyncio.run(_answers(Http(), stream, cuts, len(bodies))) == [Answer(404, one) for one in bodies]


@settings(max_examples=60, deadline=None)
@given(BODIES, CUTS)
def test_http_answers_in_chunks_or_with_a_length(bodies: list[bytes], cuts: list[int]) -> None:
    """RFC 9112 sections 6 and 7.1"""
    stream = b"".join(_chunked(body) if n % 2 else _with_length(body) for n, body in enumerate(bodies))
    assert asyncio.run(_answers(Chunked(), stream, cuts, len(bodies))) == [Answer(200, one) for one in bodies]


def _with_length(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-Powered-By: y\r\n"
    return head + (b"Content-Length: %d\r\n\r\n%s" % (len(body), body) if body else b"\r\n")


def _chunked(body: bytes) -> bytes:
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


@settings(max_examples=60, deadline=None)
@given(MESSAGES, CUTS)
def test_mllp_acknowledgements_in_order(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, messages))
    assert asyncio.run(_answers(Mllp(), stream, cuts, len(messages))) == messages


def test_percentiles_and_rate() -> None:
    measured = Measured(units=200, seconds=2.0, latencies=[n / 1000 for n in range(1, 101)], cpu=0.01)
    assert measured.rate == 100
    assert (round(measured.percentile(0.50)), round(measured.percentile(0.99))) == (51, 100)
    assert measured.plain()["client_cpu_us_per_request"] == 100
