"""What MSH says, and the original-mode acknowledgement of it (HL7 v2.5.1 chapter 2.9.2: MSH, MSA, ERR)."""

import re
from dataclasses import dataclass
from datetime import datetime

from adapters.hl7v2.escape import STANDARD, escape
from adapters.hl7v2.parse import Message, parse


@dataclass(frozen=True, slots=True)
class Ack:
    """MSA-1 (`AA`, `AE`, `AR`), why, ERR-3 (table 0357) and the field at fault. Reasons carry no patient data."""

    code: str
    reason: str = ""
    condition: int = 0
    location: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """MSH as routing needs it; `sender` and `receiver` are (application, facility) as written, to be sent back."""

    application: str = ""
    facility: str = ""
    sender: tuple[str, str] = ("", "")
    receiver: tuple[str, str] = ("", "")
    type: str = ""
    event: str = ""
    control_id: str = ""
    processing: str = "P"
    version: str = "2.5.1"
    charset: str = "utf-8"
    declared_charset: str = ""


def header(message: Message) -> Header:
    """The header of a message; the trigger event of EVN-1 where MSH-9 has none."""
    msh = message.header
    event = msh[9][2] or next((evn.text(1) for evn in message.segments if evn.name == "EVN"), "")
    msh[9].text(), msh[12].text()
    return Header(
        application=msh[3][1] or msh[3][2],
        facility=msh[4][1] or msh[4][2],
        sender=(msh[3].text(), msh[4].text()),
        receiver=(msh[5].text(), msh[6].text()),
        type=msh[9][1],
        event=event,
        control_id=msh[10].text(),
        processing=msh[11].text() or "P",
        version=msh.text(12) or "2.5.1",
        charset=message.charset,
        declared_charset=msh.text(18),
    )


def peek(raw: bytes, charset: str) -> Header:
    """The header of a message whose other segments may be unreadable. Hl7Error if MSH is."""
    return header(parse(re.split(rb"[\r\n]", raw.lstrip(b"\r\n"), maxsplit=1)[0], charset))


def acknowledge(head: Header, ack: Ack, now: datetime, control_id: str) -> bytes:
    """The acknowledgement in the charset of its message; `control_id` is its own."""
    lines = [_msh(head, now, control_id), f"MSA|{ack.code}|{escape(head.control_id)}|{escape(ack.reason)}".rstrip("|")]
    if ack.code != "AA":
        lines.append(f"ERR||{_location(ack.location)}|{ack.condition}^^HL70357|E||||{escape(ack.reason)}")
    return ("\r".join(lines) + "\r").encode(head.charset, errors="replace")


def _msh(head: Header, now: datetime, control_id: str) -> str:
    structure = f"ACK^{escape(head.event)}^ACK" if head.event else "ACK"
    parts = (*map(_hd, head.receiver), *map(_hd, head.sender), now.strftime("%Y%m%d%H%M%S%z"), "", structure)
    line = "|".join(("MSH", "^~\\&", *parts, control_id, escape(head.processing), escape(head.version)))
    return f"{line}||||||{escape(head.declared_charset)}" if head.declared_charset else line


def _hd(value: str) -> str:
    """An HD as it came: its components stay components."""
    return STANDARD.component.join(escape(part) for part in value.split(STANDARD.component))


def _location(field: str) -> str:
    """`PID-3` -> the ERL `PID^1^3`."""
    segment, _, number = field.partition("-")
    return "^1^".join(filter(None, (segment, number.split(".")[0])))
