"""R4 primitive types as JSON Schema (datatypes.html#primitive), with patterns of our own.

The official patterns refuse U+3000 and NBSP in Rust's and Python's regular expressions, and accept 30 February.
Only what Rust's linear-time engine offers is used: no look-around, no back-references.
"""

from typing import Any

_DAYS_28 = "(?:0[1-9]|1[0-9]|2[0-8])"
_MONTH_DAY = rf"(?:(?:0[13578]|1[02])-(?:{_DAYS_28}|29|30|31)|(?:0[469]|11)-(?:{_DAYS_28}|29|30)|02-{_DAYS_28})"
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DAY = rf"(?:{_YEAR}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)"
# Nanoseconds at most: R4 sets no bound, but no clock or index tells more.
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_PARTIAL_DATE = rf"{_YEAR}(?:-(?:0[1-9]|1[0-2]))?"
_BASE64 = "[0-9A-Za-z+/]"
_SPACE = "[ \\t\\r\\n]*"


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def _whole(minimum: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": 2**31 - 1}


# White space alone is no content; what a space is, Unicode decides. 1 MB at most (datatypes.html#string).
_STRING = {"type": "string", "pattern": r"\S", "maxLength": 1024 * 1024}
# UUIDs and OIDs are URNs; the type `uuid` alone insists on small letters. What names a part of one may follow it.
_HEX = "[0-9A-Fa-f]"
_OID = r"[0-2](?:\.(?:0|[1-9][0-9]*))+"
_URN = rf"urn:(?:uuid:{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}|oid:{_OID})(?:[#|:]\S*)?"
NAME = _text(r"\S+")
_URI = NAME | {"if": {"pattern": "^(?:urn:)?(?:uuid|oid):"}, "then": {"pattern": f"^{_URN}$"}}

PRIMITIVES: dict[str, dict[str, Any]] = {
    # White space stands between groups of four only, as in R4's own pattern.
    "base64Binary": _text(f"{_SPACE}(?:{_BASE64}{{4}}{_SPACE})*(?:{_BASE64}{{2}}=={_SPACE}|{_BASE64}{{3}}={_SPACE})?")
    | {"minLength": 1},
    "boolean": {"type": "boolean"},
    "canonical": _URI,
    "code": _text(r"\S+(?:\s\S+)*"),
    "date": _text(f"{_PARTIAL_DATE}|{_DAY}"),
    "dateTime": _text(f"{_PARTIAL_DATE}|{_DAY}(?:T{_TIME}{_ZONE})?"),
    "decimal": {"type": "number"},
    "id": _text(r"[A-Za-z0-9\-.]{1,64}"),
    "instant": _text(f"{_DAY}T{_TIME}{_ZONE}"),
    "integer": _whole(-(2**31)),
    "markdown": _STRING,
    "oid": _text(f"urn:oid:{_OID}"),
    "positiveInt": _whole(1),
    "string": _STRING,
    "time": _text(_TIME),
    "unsignedInt": _whole(0),
    "uri": _URI,
    "url": _URI,
    "uuid": _text(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "xhtml": {"type": "string", "minLength": 1},
}

SCHEME = "[A-Za-z][A-Za-z0-9+.-]*:"
ABSOLUTE = {"pattern": f"^{SCHEME}"}

LANGUAGE = "[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*"
CURRENCY = "[A-Z]{3}"
_TOKEN = "[A-Za-z0-9!#$&^_.+*-]+"
# With the short names of http.html#mime-type.
MEDIA_TYPE = rf"{_TOKEN}/{_TOKEN}(?:\s*;.*)?|xml|json|ttl"
# Codes of value sets that have too many members to list.
FORMS: dict[str, dict[str, Any]] = {
    "all-languages": {"$comment": "binding", **_text(LANGUAGE)},
    "currencies": {"$comment": "binding", **_text(CURRENCY)},
    "mimetypes": {"$comment": "binding", **_text(MEDIA_TYPE)},
}
