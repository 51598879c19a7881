"""Client assertions that were used, until they end: none is accepted twice (RFC 7523 3), by any process."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from fhir_server.store.database import Database
from fhir_server.store.documents import Codec


def remember(database: Database, codec: Codec) -> Callable[[str, int], Awaitable[bool]]:
    """(jti, end in ms) -> whether it was used before; from now on it was."""

    async def seen(jti: str, end: int) -> bool:
        used = {"_id": codec.identity(f"assertion/{jti}"), "until": datetime.fromtimestamp(end / 1000, UTC)}
        try:
            await database["assertions"].insert_one(used)
        except DuplicateKeyError:
            return True
        return False

    return seen
