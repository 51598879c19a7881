"""The envelope of every answer: {code, message, data, traceId}, in the language asked for, with the real HTTP status."""

from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from portal.errors import PortalError
from portal.languages import Texts

T = TypeVar("T")


class Model(BaseModel):
    """What the portal answers: every field is always there, null where nothing is known."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Envelope(BaseModel, Generic[T]):
    """Every answer. `code` is `ok` or what went wrong; `message` is for people; `dir` is there for texts from right to left."""

    code: str = Field(examples=["ok"])
    message: str
    data: T
    traceId: str = Field(description="names this request in the exchange's log; also the header X-Trace-Id")
    dir: str | None = Field(default=None, examples=["rtl"])


class Coded(Model):
    """A code, and what it is called in the language asked for (the code itself where nobody has named it)."""

    code: str
    text: str


class Fields(Model):
    """Where a request was invalid: names of its fields, never what was in them."""

    fields: list[str]


def envelope(texts: Texts, trace: str, data: Any, code: str = "ok") -> dict[str, Any]:
    """The envelope as plain data."""
    made = {"code": code, "message": texts.text("message", code), "data": data, "traceId": trace}
    return made if texts.direction is None else {**made, "dir": texts.direction}


def refusal(texts: Texts, trace: str, error: PortalError) -> Response:
    """The HTTP response for an error."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="portal"'
    content = orjson.dumps(envelope(texts, trace, error.data, error.code))
    return Response(content, error.status, headers, "application/json")
