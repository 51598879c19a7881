"""From bytes to text (HL7 v2 table 0211). Decoding comes before any splitting: the second byte of a GB 18030
character may be `|`, `^` or `\\`."""

import re

from adapters.hl7v2.errors import DATA_TYPE, Hl7Error

CHARSETS = {
    "ASCII": "ascii",
    "8859/1": "iso-8859-1",
    "8859/5": "iso-8859-5",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "GB 18030-2000": "gb18030",
    "GB18030": "gb18030",
    "GB 18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "CP936": "gb18030",
    "UTF8": "utf-8",
    "BIG-5": "big5",
}
_BOM = b"\xef\xbb\xbf"
_MSH_18 = 17
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")


def decode(raw: bytes, default: str) -> tuple[str, str]:
    """The text of a message and the Python name of its charset: that of MSH-18, else `default`."""
    body = raw.removeprefix(_BOM)
    declared = _declared(body, default)
    charset = CHARSETS.get(declared, "ascii") if declared else default
    try:
        return printable(body.decode(charset)), charset
    except UnicodeDecodeError as error:
        named = charset if declared in ("", *CHARSETS) else "of a known character set"
        text = f"byte {error.start} is not {named}; name the character set in MSH-18 or in the hospital's entry"
        raise Hl7Error(text, condition=DATA_TYPE, location="MSH-18") from None


def printable(text: str) -> str:
    """Without control characters and byte order marks, which FHIR strings cannot hold."""
    return _CONTROLS.sub("", text)


def _declared(body: bytes, default: str) -> str:
    """What MSH-18 says, as the table spells it."""
    header = re.split(rb"[\r\n]", body, maxsplit=1)[0]
    fields = _lenient(header, default).split(header[3:4].decode("latin-1") or "|")
    if len(fields) <= _MSH_18:
        return ""
    return re.split(r"[~^]", fields[_MSH_18])[0].strip(' "').upper()


def _lenient(header: bytes, default: str) -> str:
    """UTF-8 is unmistakable; anything else is read in the hospital's own charset."""
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode(default, errors="replace")
