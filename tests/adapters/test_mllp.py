"""MLLP over real TCP: framing, pipelining, order, acknowledgements, limits, TLS and who may speak."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.hl7v2.ack import Ack
from adapters.hl7v2.convert import Converted
from adapters.hl7v2.parse import parse
from adapters.hospitals import Hospital
from adapters.inbox import Inbox, take
from adapters.mllp import DEFAULT, Limits, Take, frame, send, serve
from tests.adapters.support import CHINESE, OPEN, SECRET, Store, message

HOST = "127.0.0.1"
STRICT = replace(OPEN, facilities=("HOSPITAL-A",))


async def accept(_: Hospital, __: bytes) -> Ack:
    return Ack("AA")


@contextlib.asynccontextmanager
async def listening(
    taking: Take = accept, *hospitals: Hospital, limits: Limits = DEFAULT, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    served = hospitals or (STRICT, CHINESE)
    server = await serve(HOST, 0, taking, {one.id: one for one in served}, limits, tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def exchanged(port: int, *blocks: bytes) -> bytes:
    """Everything the server says to raw bytes, until it closes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    for block in blocks:
        writer.write(block)
        await writer.drain()
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_accept_in_original_mode_2_9_2() -> None:
    async with listening() as port:
        (reply,) = await send(HOST, port, message("PID|1||7", control_id="M\\T\\1"))
    ack = parse(reply)
    assert [segment.name for segment in ack.segments] == ["MSH", "MSA"]
    msh, msa = ack.segments
    assert (msh[9].text(), msh.text(3), msh.text(4), msh.text(5), msh.text(6)) == (
        "ACK^A01^ACK", "HIE", "REGION", "HIS", "HOSPITAL-A",
    )  # fmt: skip
    assert (msa.text(1), msa[2].text()) == ("AA", "M&1")


async def test_an_error_says_what_and_where_in_msa_and_err() -> None:
    async def refuse(_: Hospital, __: bytes) -> Ack:
        return Ack("AE", "PID-3 is | missing", 101, "PID-3")

    async with listening(refuse) as port:
        (reply,) = await send(HOST, port, message("PID|1"))
    _, msa, err = parse(reply).segments
    assert (msa.text(1), msa.text(3)) == ("AE", "PID-3 is | missing")
    assert (err[2].text(), err.text(3), err.text(4), err.text(8)) == ("PID^1^3", "101", "E", "PID-3 is | missing")


async def test_the_reply_has_the_charset_of_the_message() -> None:
    async def refuse(_: Hospital, __: bytes) -> Ack:
        return Ack("AE", "姓名")

    raw = message("PID|1", control_id="乙").replace(b"HOSPITAL-A", b"HOSPITAL-B").decode().encode("gb18030")
    async with listening(refuse, CHINESE) as port:
        (reply,) = await send(HOST, port, raw)
    assert "MSA|AE|乙|姓名".encode("gb18030") in reply


async def test_pipelined_frames_are_worked_on_at_once_and_answered_in_order() -> None:
    working, together = 0, asyncio.Event()

    async def meet(_: Hospital, __: bytes) -> Ack:
        nonlocal working
        working += 1
        if working == 3:
            together.set()
        await together.wait()
        return Ack("AA")

    async with listening(meet) as port:
        replies = await send(HOST, port, [message("PID|1", control_id=str(n)) for n in range(3)])
    assert [parse(reply).segments[1].text(2) for reply in replies] == ["0", "1", "2"]


async def test_a01_then_a08_of_one_patient_in_one_packet_are_applied_in_order() -> None:
    submitted: list[str] = []

    async def submit(_: Hospital, converted: Converted, __: bool) -> bool:
        await asyncio.sleep(0)
        submitted.append(converted.bundle["entry"][-1]["resource"]["activity"]["coding"][0]["code"])
        return False

    box = Inbox(Store(), submit, SECRET)
    batch = [message("PID|1||7^^^^MR", kind=f"ADT^{event}", control_id=event) for event in ("A01", "A08", "A03") * 5]
    async with listening(lambda hospital, raw: take(box, hospital, raw)) as port:
        replies = await send(HOST, port, batch)
    assert submitted[:3] == ["A01", "A08", "A03"] and len(replies) == 15


def lasting(turns: int) -> tuple[Take, list[int]]:
    """Takes each message in so many turns of the event loop; the list has how many were in work as each began."""
    working, together = 0, list[int]()

    async def work(_: Hospital, __: bytes) -> Ack:
        nonlocal working
        working += 1
        together.append(working)
        for _turn in range(turns):
            await asyncio.sleep(0)
        working -= 1
        return Ack("AA")

    return work, together


async def test_large_messages_of_all_connections_take_turns() -> None:
    """Six that sent as many scans of 8 MB ahead as they may took 3 GB."""
    taking, together = lasting(500)
    async with listening(taking, limits=Limits(window=4, large=2)) as port:
        sent = [message(f"OBX|1|ED|||{'x' * 1_100_000}", control_id=str(n)) for n in range(6)]
        replies = await asyncio.gather(*(send(HOST, port, sent) for _ in range(3)))
    assert [b"MSA|AA" in reply for some in replies for reply in some] == [True] * 18
    assert max(together) == 2


async def test_a_window_bounds_the_work() -> None:
    taking, together = lasting(5)
    async with listening(taking, limits=Limits(window=4)) as port:
        assert len(await send(HOST, port, [message("PID|1", control_id=str(n)) for n in range(60)])) == 60
    assert 1 < max(together) <= 6


async def test_a_frame_in_pieces() -> None:
    async with listening() as port:
        whole = frame(message("PID|1"))
        answer = await exchanged(port, *(whole[n : n + 7] for n in range(0, len(whole), 7)))
    assert answer.count(b"MSA|AA|1") == 1


@pytest.mark.parametrize(
    "blocks",
    [
        [b"GET / HTTP/1.1\r\n\r\n\x1c\r"],
        [b"\x0bMSH|^~\\&|\x0bMSH|^~\\&|\x1c\r"],
        [b"x" + frame(message("PID|1"))],
        [b"\x0b" + b"y" * 5000],
        [b"\x0bMSH|unfinished"],
    ],
)
async def test_bad_framing_closes(blocks: list[bytes]) -> None:
    async with listening(limits=Limits(frame=2000)) as port:
        assert await exchanged(port, *blocks) == b""


async def test_what_came_before_bad_framing_is_answered() -> None:
    async with listening() as port:
        answer = await exchanged(port, frame(message("PID|1")), b"junk\x1c\r")
    assert answer.count(b"MSA|AA") == 1


async def test_the_largest_frame_is_taken_and_one_more_byte_is_not() -> None:
    raw = message("PID|1||7")
    async with listening(limits=Limits(frame=len(raw))) as port:
        assert b"MSA|AA" in await exchanged(port, frame(raw))
        assert await exchanged(port, frame(raw + b"\r")) == b""


async def test_frames_that_do_not_end_are_bounded_together() -> None:
    """A hundred connections with 8 MB each were 800 MB for five minutes"""
    half = b"\x0b" + b"x" * 700_000
    async with listening(limits=Limits(frame=1_000_000, unfinished=2)) as port:
        before = [await asyncio.open_connection(HOST, port) for _ in range(4)]
        for _, writer in before:
            writer.write(half)
        ends = [asyncio.create_task(reader.read()) for reader, _ in before]
        ended, _ = await asyncio.wait(ends, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert ended
        for _, writer in before:
            writer.close()
        await asyncio.gather(*ends, return_exceptions=True)
        raw = message("PID|1||" + "7" * 900_000)
        assert b"MSA|AA" in await exchanged(port, *(frame(raw) for _ in range(5)))


async def test_idle_connections_are_closed() -> None:
    async with listening(limits=Limits(idle=0.05)) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await reader.read() == b""
        writer.close()


def test_a_peer_that_resets_before_its_replies_loses_no_message() -> None:
    """Under uvloop, as served: a write to a connection that is gone is a RuntimeError there, and nothing may end by it."""
    troubles: list[object] = []
    worked_on: list[bytes] = []

    async def reset() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        arrived, gone, done = asyncio.Semaphore(0), asyncio.Event(), asyncio.Semaphore(0)

        async def late(_: Hospital, raw: bytes) -> Ack:
            arrived.release()
            await gone.wait()
            worked_on.append(raw)
            done.release()
            return Ack("AA")

        async with listening(late) as port:
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"".join(frame(message("PID|1", control_id=str(n))) for n in range(3)))
            await _times(3, arrived)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()  # with that option a reset, as from a peer that died
            await _turns()
            gone.set()
            await _times(3, done)
            await _turns()

    uvloop.run(reset())
    assert (len(worked_on), troubles) == (3, [])


async def _times(number: int, semaphore: asyncio.Semaphore) -> None:
    for _ in range(number):
        await semaphore.acquire()


async def _turns() -> None:
    """Enough turns of the loop for what has arrived to be handled."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_peer_of_no_hospital_is_closed() -> None:
    async with listening(accept, replace(OPEN, peers=("192.0.2.0/24",))) as port:
        with contextlib.suppress(ConnectionError):
            assert await exchanged(port, frame(message("PID|1"))) == b""


async def test_a_sender_the_peer_may_not_speak_for_is_rejected() -> None:
    async with listening(accept, STRICT) as port:
        (reply,) = await send(HOST, port, message("PID|1").replace(b"HOSPITAL-A", b"HOSPITAL-Z"))
    assert b"MSA|AR|1|MSH-3 and MSH-4 name no hospital" in reply and b"HOSPITAL-Z" in reply.split(b"\r")[0]


async def test_an_unreadable_header_goes_to_the_only_hospital_or_is_rejected() -> None:
    taken: list[str] = []

    async def keep(hospital: Hospital, _: bytes) -> Ack:
        taken.append(hospital.id)
        return Ack("AE", "not HL7")

    async with listening(keep, OPEN) as one, listening(keep, STRICT, CHINESE) as two:
        assert b"MSA|AE||not HL7" in (await send(HOST, one, b"not HL7"))[0]
        assert b"MSA|AR" in (await send(HOST, two, b"not HL7"))[0]
    assert taken == ["hospital-a"]


async def test_a_store_that_fails_is_answered_and_the_connection_goes_on() -> None:
    async def fail(_: Hospital, __: bytes) -> Ack:
        raise OSError("disk of Zuleikha")

    async with listening(fail) as port:
        replies = await send(HOST, port, [message("PID|1"), message("PID|1")])
    assert all(b"MSA|AR|1|the message could not be stored" in reply and b"Zuleikha" not in reply for reply in replies)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate of that name, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


async def test_tls_and_the_names_in_client_certificates(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "exchange"), certificate(tmp_path, "his.a")
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*server)
    ours.load_verify_locations(client[0])
    ours.verify_mode = ssl.CERT_REQUIRED
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False
    theirs.load_verify_locations(server[0])
    theirs.load_cert_chain(*client)
    named = replace(STRICT, peers=(), certificates=("his.a",))
    async with listening(accept, named, tls=ours) as port:
        (reply,) = await send(HOST, port, message("PID|1"), tls=theirs)
    assert b"MSA|AA" in reply
    async with listening(accept, replace(named, certificates=("his.b",)), tls=ours) as port:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await send(HOST, port, message("PID|1"), tls=theirs)
