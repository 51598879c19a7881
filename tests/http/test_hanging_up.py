"""A client that hangs up in the middle of a request is no error of ours, and half a request is not acted on."""

import asyncio
import logging
from urllib.parse import urlsplit

import pytest

from tests.serving import Door

JSON, FORM = "application/fhir+json", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("path", "kind"), [("/fhir/Patient", JSON), ("/fhir", JSON), ("/oauth2/token", FORM), ("/portal/patient/login", JSON)]
)
async def test_no_error_is_logged(door: Door, caplog: pytest.LogCaptureFixture, path: str, kind: str) -> None:
    """RFC 9112 8: an incomplete message is discarded"""
    ended = asyncio.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ended.set()

    access, told = logging.getLogger("hie.access"), Told()
    access.addHandler(told)
    try:
        with caplog.at_level(logging.INFO):
            _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(door.base_url).port)
            token = door.token("system", organization="a")
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n"
            writer.write(f'{head}Content-Length: 1000\r\n\r\n{{"resourceType": "Patient"}}'.encode())
            await writer.drain()
            writer.close()
            await asyncio.wait_for(ended.wait(), 30)
            await door.system("a").get("/metadata")  # who would log it, has done so on the way out by then
    finally:
        access.removeHandler(told)
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert await door.exchange.database["resources"].count_documents({}) == 0
