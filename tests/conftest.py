"""Fixtures for every test: one embedded MongoDB for the whole run, and a database of its own for each test that asks."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from pymongo import AsyncMongoClient

from exchange.embedded import running
from tests import serving
from tests.serving import Door

# A machine that has others to serve stands still for longer than an example takes. Examples are the same in every run: a
# test fails by what was changed, and not by chance; with FUZZ (`make fuzz`) it looks at others.
IS_RANDOM = "FUZZ" in os.environ
settings.register_profile(
    "exchange", deadline=None, derandomize=not IS_RANDOM, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("exchange")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URI of an embedded MongoDB: a replica set of one, up for the whole run."""
    async with running(tmp_path_factory.mktemp("data"), cache_gb=0.5) as uri:
        yield uri


@pytest_asyncio.fixture(loop_scope="session")
async def database(mongodb_uri: str) -> AsyncIterator[str]:
    """The name of a database that is this test's alone; dropped after it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    async with AsyncMongoClient[dict[str, object]](mongodb_uri) as client:
        await client.drop_database(name)


@pytest_asyncio.fixture(loop_scope="session")
async def door(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[Door]:
    """The exchange on an empty database of its own, served over HTTP."""
    async with serving.door(mongodb_uri, database, tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def doors(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[tuple[Door, Door]]:
    """Two exchanges, each with commit lanes of its own, on one store: as two processes would be."""
    async with serving.door(mongodb_uri, database, tmp_path) as one, serving.door(mongodb_uri, database, tmp_path) as two:
        yield one, two
