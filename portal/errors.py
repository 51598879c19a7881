"""What the portal refuses: an HTTP status and a code, which every language has a text for (texts/*.toml, [message])."""

from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.record.binding import Throttled


class PortalError(Exception):
    """`code` is a key of [message]; `data` tells the app more, never a person's data; `retry_after` in seconds."""

    def __init__(self, status: int, code: str, data: Any = None, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.data = data
        self.retry_after = retry_after


STATUSES = {
    400: "bad-request",
    401: "session-over",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "bad-request",
    409: "conflict",
    413: "too-large",
    415: "media-type",
    422: "invalid",
    429: "too-many",
    503: "unavailable",
}
"""HTTP status -> the code that stands for it where nothing closer is known."""


PLAINER = {410: 404, 412: 409}
"""What tells an app no more: deleted is not there, changed meanwhile is a conflict."""


def of_record(error: FhirError) -> PortalError:
    """What the record's refusal is here."""
    status = PLAINER.get(error.status, error.status)
    retry_after = error.retry_after if isinstance(error, Throttled) else None
    return PortalError(status, STATUSES.get(status, "internal"), retry_after=retry_after)
