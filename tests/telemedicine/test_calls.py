"""Issue 3.1: a WebSocket relays call signalling between the two parties of the appointment and nobody else; TURN."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fhir_server.r4.dates import interval
from fhir_server.store.signals import DEVICES
from telemedicine.calls import Turn, ice_servers
from tests.telemedicine import world
from tests.telemedicine.world import DAY, NOW, Resource, World, call, expert_of, hospital_of, named, one

OFFER = {"type": "offer", "sdp": "v=0"}


async def booked(region: World) -> Resource:
    return one(await call(region.patient, "$book", appointment_reference=named((await region.offers())[0])))


def url(region: World, appointment: Resource, what: str = "signal") -> str:
    return f"{region.door.base_url.replace('/fhir', '')}/telemedicine/appointments/{appointment['id']}/{what}"


@asynccontextmanager
async def joined(region: World, appointment: Resource, kind: Any, **who: str) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {region.token(kind, **who)}"}
    async with connect(url(region, appointment).replace("http", "ws", 1), additional_headers=headers, proxy=None) as socket:
        yield socket


def expert(region: World, appointment: Resource) -> Any:
    return joined(
        region, appointment, "practitioner", practitioner=expert_of(appointment), organization=hospital_of(appointment)
    )


def patient(region: World, appointment: Resource, known: str = "a-1") -> Any:
    return joined(region, appointment, "patient", patient=known)


async def heard(socket: ClientConnection, but: str | None = None) -> Resource:
    async with asyncio.timeout(20):
        while (message := json.loads(await socket.recv()))["type"] == but:
            pass
    return dict(message)


async def told(socket: ClientConnection, *messages: Resource) -> None:
    for message in messages:
        await socket.send(json.dumps(message))


async def test_a_call_is_set_up_between_the_two(region: World) -> None:
    """Who is told `joined` makes the offer; messages pass unread, in order, both ways; `left` at the end."""
    appointment = await booked(region)
    async with patient(region, appointment) as near:
        async with expert(region, appointment) as far:
            assert await heard(near) == {"type": "joined"}
            candidates = [{"type": "candidate", "candidate": str(number)} for number in range(5)]
            await told(near, OFFER, *candidates)
            assert [await heard(far) for _ in range(6)] == [OFFER, *candidates]
            await told(far, {"type": "answer", "sdp": "v=0"})
            assert (await heard(near))["type"] == "answer"
        assert await heard(near) == {"type": "left"}


async def test_of_two_who_join_at_one_moment_exactly_one_is_told(region: World) -> None:
    """Else both would make an offer, or nobody: each says a number, and hears `joined` before it or not at all."""
    appointment = await booked(region)
    for round_ in range(8):
        async with AsyncExitStack() as both:
            ends = [both.enter_async_context(one_end(region, appointment)) for one_end in (patient, expert)]
            near, far = await asyncio.gather(*ends)
            mark = {"type": "candidate", "candidate": str(round_)}
            await asyncio.gather(told(near, mark), told(far, mark))
            first = [await heard(near, but="left"), await heard(far, but="left")]  # of the round before, it may come late
            assert sorted(message["type"] for message in first) == ["candidate", "joined"]


async def test_nobody_else(region: World) -> None:
    """Another patient, an expert's name elsewhere, the hospital, no token, no such one, one only held: the same 403."""
    slot = (await region.offers())[-1]
    held = one(await call(region.patient, "$hold", appointment_reference=named(slot)))
    appointment = await booked(region)
    somebody = {"practitioner": expert_of(appointment), "organization": "b"}
    refused = [
        patient(region, appointment, "b-1"),
        joined(region, appointment, "practitioner", **somebody),
        joined(region, appointment, "system", organization="a"),
        joined(region, {"id": "no-such"}, "patient", patient="a-1"),
        patient(region, held),
        connect(url(region, appointment).replace("http", "ws", 1), proxy=None),
    ]
    for one_of_them in refused:
        with pytest.raises(InvalidStatus) as caught:
            async with one_of_them:
                raise AssertionError("let in")
        assert caught.value.response.status_code == 403


async def test_a_browser_brings_its_token_as_a_subprotocol(region: World) -> None:
    appointment = await booked(region)
    token = region.token("patient", patient="a-1")
    address = url(region, appointment).replace("http", "ws", 1)
    async with connect(address, subprotocols=["hie.signal", f"bearer.{token}"], proxy=None) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "hie.signal"


async def test_nothing_passes_after_the_close(region: World) -> None:
    """Only while the appointment is booked: what is said after the close is not relayed, and the connection ends."""
    appointment = await booked(region)
    async with patient(region, appointment) as near, expert(region, appointment) as far:
        assert await heard(near) == {"type": "joined"}
        await call(region.expert(appointment), f"{appointment['id']}/$close", opinion="x")
        await told(far, OFFER)
        for socket in (far, near):
            with pytest.raises(ConnectionClosed) as caught:
                while await heard(socket):
                    assert socket is near  # who may still be told that the other has left
            assert caught.value.rcvd is not None and caught.value.rcvd.code == 1008


async def test_a_call_ends_with_a_consultation_that_nobody_closes(region: World) -> None:
    """Decision 21: it ends a day after its time, for the call as for the record; who is in it is sent away."""
    appointment = await booked(region)
    async with patient(region, appointment) as near:
        region.clock.now = interval(appointment["end"])[0] + DAY
        async with expert(region, appointment) as far:
            await told(far, OFFER)
            assert [await heard(near), await heard(near)] == [{"type": "joined"}, OFFER]
            region.clock.now += 1
            for socket in (far, near):
                with pytest.raises(ConnectionClosed) as caught:
                    await told(socket, OFFER)
                    while await heard(socket):
                        assert socket is near
                assert caught.value.rcvd is not None and caught.value.rcvd.code == 1008
    for end in (patient(region, appointment), expert(region, appointment)):
        with pytest.raises(InvalidStatus):
            async with end:
                raise AssertionError("let in")


@pytest.mark.parametrize(
    "message", ["not json", "[]", '{"type":"shout"}', json.dumps({"type": "offer", "sdp": "x" * 70_000}), b"{}"]
)
async def test_what_is_no_signalling_ends_the_connection(region: World, message: str | bytes) -> None:
    appointment = await booked(region)
    async with patient(region, appointment) as near:
        await near.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            await heard(near)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1008


async def test_the_rate_is_bounded(region: World) -> None:
    appointment = await booked(region)
    async with patient(region, appointment) as near:
        with pytest.raises(ConnectionClosed) as caught:
            for _ in range(2_000):
                await told(near, OFFER)
            await heard(near)
        assert caught.value.rcvd is not None and caught.value.rcvd.reason == "too many messages"


async def test_connections_of_one_party_are_bounded_and_free_again(region: World) -> None:
    """Each may have 16 MB waiting for who does not read them"""
    appointment = await booked(region)
    async with AsyncExitStack() as open_ones:
        sockets = [await open_ones.enter_async_context(patient(region, appointment)) for _ in range(DEVICES)]
        with pytest.raises(InvalidStatus) as caught:
            await open_ones.enter_async_context(patient(region, appointment))
        assert caught.value.response.status_code == 403
        async with expert(region, appointment) as far:
            await heard(sockets[0], but="left")
            await sockets[0].close()
            assert (await heard(far, but="joined"))["type"] == "left"
        await open_ones.enter_async_context(patient(region, appointment))


async def test_turn_credentials_are_for_the_parties_and_short(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    """coturn's REST API: username is expiry:user, password its HMAC-SHA1; the user tells nothing of the person."""
    turn = {"turn_urls": "turn:a.example, turns:b.example:5349", "turn_secret": "shared"}
    async with world.world(mongodb_uri, database, tmp_path, experts=2, **turn) as region:
        appointment = await booked(region)
        answer = (await region.patient.get(url(region, appointment, "turn"))).json()
        (server,) = answer["iceServers"]
        expiry, _, user = server["username"].partition(":")
        assert (server["urls"], int(expiry)) == (["turn:a.example", "turns:b.example:5349"], NOW // 1000 + answer["ttl"])
        wanted = base64.b64encode(hmac.digest(b"shared", server["username"].encode(), hashlib.sha1)).decode()
        assert server["credential"] == wanted
        assert appointment["id"] not in user and "a-1" not in user
        assert (await region.person("b-1").get(url(region, appointment, "turn"))).status_code == 404


async def test_a_region_without_turn_says_so(region: World) -> None:
    assert (await region.patient.get(url(region, await booked(region), "turn"))).status_code == 404


def test_credentials_by_the_book() -> None:
    """The example of the TURN REST API draft: HMAC-SHA1 over the username, base64."""
    made = ice_servers(Turn(b"secret", ("turn:x",), lifetime=600), "user", 1_000_000)
    assert made["iceServers"][0]["username"] == "1600:user"
    assert base64.b64decode(made["iceServers"][0]["credential"]) == hmac.digest(b"secret", b"1600:user", "sha1")
