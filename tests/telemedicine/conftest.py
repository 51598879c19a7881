"""Fixtures of this room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.telemedicine import world
from tests.telemedicine.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def region(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world in which nothing is permitted by default, so that what an expert sees is what the consultation opens."""
    async with world.world(mongodb_uri, database, tmp_path, default_policy="break-glass-only") as made:
        yield made
