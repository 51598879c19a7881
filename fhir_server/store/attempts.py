"""How often something was tried, counted for all processes, in windows of the exchange's clock."""

from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument

from fhir_server.store.database import Database
from fhir_server.store.documents import Codec


async def attempt(database: Database, codec: Codec, what: str, window_ms: int, now: int) -> int:
    """Count one more; returns how many there were in this window, this one included. `what` is stored as a keyed hash."""
    window = now // window_ms
    end = datetime.fromtimestamp((window + 1) * window_ms / 1000, UTC) + timedelta(hours=1)
    counted = await database["attempts"].find_one_and_update(
        {"_id": codec.identity(f"attempt/{what}/{window}")},
        {"$inc": {"n": 1}, "$setOnInsert": {"gone": end}},
        upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    assert counted is not None  # upsert and return_document: there is one
    return int(counted["n"])
