"""A client that hangs up in the middle of a request is no error of ours, and half a request is not acted on."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests import serving
from tests.serving import Door

JSON, FORM = "application/fhir+json", "application/x-www-form-urlencoded"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hung_up_on(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder: Path = tmp_path_factory.mktemp("hung")
    async with serving.door(mongodb_uri, "test_hanging_up", folder) as door:
        yield door
        await door.exchange.database.client.drop_database("test_hanging_up")


@pytest.mark.parametrize(
    ("path", "kind"), [("/fhir/Patient", JSON), ("/fhir", JSON), ("/oauth2/token", FORM), ("/portal/patient/login", JSON)]
)
async def test_no_error_is_logged(hung_up_on: Door, caplog: pytest.LogCaptureFixture, path: str, kind: str) -> None:
    """RFC 9112 8: an incomplete message is discarded"""
    ended = asyncio.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ended.set()

    access, told = logging.getLogger("hie.access"), Told()
    access.addHandler(told)
    try:
        with caplog.at_level(logging.INFO):
            _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hung_up_on.base_url).port)
            token = hung_up_on.token("system", organization="a")
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n"
            writer.write(f'{head}Content-Length: 1000\r\n\r\n{{"resourceType": "Patient"}}'.encode())
            await writer.drain()
            writer.close()
            await asyncio.wait_for(ended.wait(), 10)
            await asyncio.sleep(0)  # who would log it, does so on the way out
    finally:
        access.removeHandler(told)
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert await hung_up_on.exchange.database["resources"].count_documents({}) == 0
