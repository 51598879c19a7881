"""One exchange for everything hostile: it must still stand at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import serving
from tests.serving import Door


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hostile(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    async with serving.door(mongodb_uri, "test_hostile", folder) as door:
        yield door
        await door.exchange.database.client.drop_database("test_hostile")
