"""Routes of the portal, and what each may refuse, for OpenAPI; 400, 413, 422 and 500 any of them may (app.py)."""

from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from portal.envelope import Envelope

DESCRIPTIONS = {
    401: "No session, or one that is over: refresh or log in again",
    403: "The account is bound to nobody yet, or may not do this",
    404: "There is none, or none of yours; the answer is the same",
    409: "It cannot be done any more: somebody was faster, or it has been done",
    429: "Too many attempts; Retry-After says when to try again",
    503: "Not to be had just now; Retry-After says when to try again",
}


def refuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route."""
    return {one: {"model": Envelope[None], "description": DESCRIPTIONS[one]} for one in statuses}


class _Route(APIRoute):
    """Leaves `dir` out of the envelope where it was not set."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named | {"response_model_exclude_unset": True})


def routes(tag: str) -> APIRouter:
    return APIRouter(tags=[tag], route_class=_Route)


OF_SESSION = refuses(401)
OF_PATIENT = refuses(401, 403)
