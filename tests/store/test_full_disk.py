"""A disk without room, here a file that may not grow: nothing is acknowledged that is not kept, and it ends by itself."""

import asyncio
import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import serving
from tests.serving import Door


@contextmanager
def no_room(size: int = 0) -> Iterator[None]:
    """Files of this process do not grow beyond a size; mongod is another."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_key_that_cannot_be_kept_is_a_matter_of_time(
    mongodb_uri: str, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A new patient has a new data key. It was a 500, of which the log said only where it came from (http.html#ops)"""
    patient = {"resourceType": "Patient", "id": "p", "active": True}
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        client = door.system("hospital-a")
        with caplog.at_level(logging.ERROR), no_room():
            refused = await client.put("/Patient/p", json=patient)
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        assert "the key store cannot be used" in caplog.text
        assert (await client.get("/Patient/p")).status_code == 404
        assert (await client.put("/Patient/p", json=patient)).status_code == 201
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        assert (await door.system("hospital-a").get("/Patient/p")).json()["active"]


async def test_an_anchor_of_which_only_half_was_written_is_taken_back(door: Door) -> None:
    """DESIGN 4: half a line looked like one that somebody had changed, for ever"""
    client, audit = door.system("hospital-a"), door.exchange.record.audit
    anchored: dict[bytes, int] = {}
    await client.get("/Patient/none")
    await asyncio.to_thread(audit.anchor, anchored)
    await client.get("/Patient/none")
    with no_room(audit.anchors.stat().st_size + 20), pytest.raises(OSError, match="disk"):
        audit.anchor(anchored)
    audit.anchor(anchored)
    assert [line async for line in audit.verify()] == []
