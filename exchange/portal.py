"""The patient portal, composed over the open exchange: the store's sessions, telemedicine's operations, the login provider."""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import ASGIApp

from exchange.opening import Opened
from exchange.passing import is_passing
from fhir_server.http.service import where
from fhir_server.record.binding import account_key
from fhir_server.store.sessions import Sessions
from portal.app import create_portal
from portal.service import Consultations, Portal
from portal.wechat import provider
from telemedicine import booking, operations
from telemedicine.service import Telemedicine

PATH = "/portal/patient"


def portal_of(exchange: Opened, telemedicine: Telemedicine) -> ASGIApp:
    """The application to be mounted at PATH."""
    consultations = Consultations(
        propose=partial(operations.propose, telemedicine),
        experts=telemedicine.experts,
        book=partial(booking.book, telemedicine),
        confirm=partial(booking.confirm, telemedicine),
        cancel=partial(booking.cancel, telemedicine),
    )
    sessions = Sessions(exchange.database, exchange.record.codec)
    made = Portal(
        record=exchange.record,
        sessions=sessions,
        consultations=consultations,
        identify=_identify(exchange),
        place=where,
        is_unavailable=is_passing,
        answer_seconds=exchange.settings.answer_seconds,
    )
    return create_portal(made)


def _identify(exchange: Opened) -> Callable[[str], Awaitable[bytes]] | None:
    """A login code -> the account's key; None where no mini-program is set up."""
    settings = exchange.settings
    if settings.wechat_appid is None or settings.wechat_secret_file is None:
        return None
    appid = settings.wechat_appid
    openid = provider(settings.wechat_url, appid, settings.wechat_secret_file.read_text(encoding="utf-8").strip())

    async def identify(code: str) -> bytes:
        return account_key(exchange.record, f"wechat/{appid}", await openid(code))

    return identify
