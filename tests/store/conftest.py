"""Two exchanges on one store, as two processes would be."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests import serving
from tests.serving import Door


@pytest_asyncio.fixture(loop_scope="session")
async def doors(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[tuple[Door, Door]]:
    """Two exchanges, each with commit lanes of its own, on one store."""
    async with serving.door(mongodb_uri, database, tmp_path) as one, serving.door(mongodb_uri, database, tmp_path) as two:
        yield one, two
