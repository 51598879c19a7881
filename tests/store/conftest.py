"""A town for the tests of search."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import serving
from tests.store import region
from tests.store.town import HAND_MADE, Town, keep_all


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def town(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    data: Path = tmp_path_factory.mktemp("town")
    async with serving.door(mongodb_uri, "test_town", data, default_policy="permit-treatment") as door:
        await region.load(door.client("system", organization="synthea"), region.bundles(5))
        for organization, resources in HAND_MADE.items():
            await keep_all(door.system(organization), resources)
        reader = door.client("practitioner", practitioner="li", organization="a", lifetime=3600)
        yield await Town.of(door, reader)
        await door.exchange.database.client.drop_database("test_town")
