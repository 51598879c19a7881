"""The embedded MongoDB's replica set of one, and the user that the exchange is in it."""

import asyncio
from contextlib import suppress
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

HOST = "127.0.0.1"
REPLICA_SET = "hie"
ROLES = ("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor")
NOT_YET_INITIALIZED, NOT_A_MEMBER = 94, 93  # error codes of the server


async def prepare(port: int, key: str, user: str, password: str, patience: float) -> None:
    """Bring about the replica set and the user, whatever a former start got done. The cluster's own user may, at any time."""
    cluster: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        HOST, port, username="__system", password=key, authSource="local", directConnection=True
    )
    async with cluster, asyncio.timeout(patience):
        await _become_primary(cluster.admin, port)
        await _make_user(cluster.admin, user, password)


async def _become_primary(admin: AsyncDatabase[dict[str, Any]], port: int) -> None:
    while not (await admin.command("hello"))["isWritablePrimary"]:
        with suppress(OperationFailure):  # as it is while the member changes state: look again
            await _remedy(admin, port)
        await asyncio.sleep(0.01)


async def _remedy(admin: AsyncDatabase[dict[str, Any]], port: int) -> None:
    config = {"_id": REPLICA_SET, "version": 1, "members": [{"_id": 0, "host": f"{HOST}:{port}"}]}
    try:
        await admin.command("replSetGetStatus")
    except OperationFailure as failure:
        if failure.code == NOT_YET_INITIALIZED:
            await admin.command("replSetInitiate", config)
        if failure.code == NOT_A_MEMBER:  # the former port was taken
            await admin.command("replSetReconfig", config, force=True)


async def _make_user(admin: AsyncDatabase[dict[str, Any]], user: str, password: str) -> None:
    if not (await admin.command("usersInfo", user))["users"]:
        await admin.command("createUser", user, pwd=password, roles=list(ROLES))
