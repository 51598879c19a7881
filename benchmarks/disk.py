"""Bytes on disk, after a checkpoint: what records cost, and apart from them the log of accesses, the inbox and the oplog."""

from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.uri_parser import parse_uri

from benchmarks.servers import Server

RECORDS = ("resources", "history", "persons", "claims", "counters", "reviews")
APART = ("audit", "inbox")

Sizes = dict[str, int]


async def sizes(server: Server) -> dict[str, Any]:
    """{bytes_per_resource, resources, bytes: {collection: {data, indexes}}}."""
    key = (server.settings.data / "mongodb" / "key").read_text()
    ((host, port),) = parse_uri(server.mongodb)["nodelist"]
    # Only the cluster's own user may ask for a checkpoint and see the oplog.
    own: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        host, port, username="__system", password=key, authSource="local", directConnection=True
    )
    async with own as client:
        await client.admin.command("fsync")
        database = client[server.settings.database]
        found = {name: await _of(database, name) for name in (*RECORDS, *APART)}
        found["oplog"] = await _of(client.local, "oplog.rs")
        resources = await database["resources"].count_documents({})
    records = sum(sum(found[name].values()) for name in RECORDS)
    return {"bytes_per_resource": round(records / resources), "resources": resources, "bytes": found}


async def _of(database: AsyncDatabase[dict[str, Any]], name: str) -> Sizes:
    stats = await database.command("collStats", name)
    return {"data": stats["storageSize"], "indexes": stats["totalIndexSize"]}
