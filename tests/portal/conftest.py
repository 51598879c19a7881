"""Fixtures of this room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.portal import world
from tests.portal.world import Region


@pytest_asyncio.fixture(loop_scope="session")
async def region(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[Region]:
    async with world.region(mongodb_uri, database, tmp_path) as made:
        yield made
