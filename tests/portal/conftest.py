"""Fixtures of this room."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from tests.portal import world
from tests.portal.world import Region


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Region]:
    """One for all tests of a module, which use accounts and people of their own; its clock only goes forward."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    async with world.region(mongodb_uri, name, tmp_path_factory.mktemp("portal")) as made:
        yield made
    async with AsyncMongoClient[dict[str, object]](mongodb_uri) as client:
        await client.drop_database(name)
