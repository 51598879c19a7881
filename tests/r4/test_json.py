"""R4 json.html: what is read is unambiguous, what is written is what was read."""

import copy
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import MAX_DEPTH, Number, read, write


def _nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


REFUSED = {
    "nothing": (b"", "line 1, column 1"),
    "cut off": (b'{"a":', "line 1, column 6"),
    "an array": (b"[]", "JSON object"),
    "a string": (b'"x"', "JSON object"),
    "a trailing comma": (b'{"a":1,}', "line 1, column 8"),
    "a comment": (b'{"a":1} // x', "line 1, column 9"),
    "single quotes": (b"{'a':1}", "line 1, column 2"),
    "a leading zero": (b'{"a":01}', "line 1, column 7"),
    "a raw tab in a string": (b'{"a":"\t"}', "line 1, column 7"),
    "a key twice": (b'{"a":1,\n "a":2}', "same key twice in one object (line 2, column 2)"),
    "a key twice, deep, once escaped": (b'{"x":[{"b":"}","c":1, "\\u0063":2}]}', "line 1, column 23"),
    "NaN": (b'{"a":NaN}', "line 1, column 6"),
    "Infinity": (b'{"a":["NaN", -Infinity]}', "line 1, column 14"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "Latin-1": (b'{"a":"\xe9"}', "byte 6"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "byte 0"),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "byte 6"),
    "half a surrogate pair": (b'{"a":"\\ud83d"}', "line 1, column 7"),
    "the other half": (b'{"a":"x\\ude00"}', "line 1, column 8"),
    "a pair the wrong way round": (b'{"a":"\\ude00\\ud83d"}', "line 1, column 7"),
    "a number beyond a double": (b'{"a":1e999}', "line 1, column 6"),
    "500 digits": (b'{"a":' + b"1" * 500 + b"}", "line 1, column 6"),
    "5,000 digits": (b'{"a":' + b"1" * 5_000 + b"}", "line 1, column 6"),
    "500 decimals": (b'{"a":0.' + b"1" * 500 + b"}", "line 1, column 6"),
    "a level too deep": (_nested(MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels (line 1, column 69)"),
    "1,000 levels": (_nested(1_000), "deeper than"),
    "100,000 levels": (_nested(100_000), "deeper than"),
    "100,000 levels, never closed": (b"[" * 100_000, "deeper than"),
    "objects too deep": (b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "deeper than"),
    "brackets in strings that balance what nests": (b'{"}":' * 80 + b'"{"' * 1 + b"}" * 80, "deeper than"),
}


@pytest.mark.parametrize(("data", "where"), REFUSED.values(), ids=REFUSED)
def test_refuses_with_the_place(data: bytes, where: str) -> None:
    """2.6.2: anything doubtful is a 400 that tells where, and never what."""
    with pytest.raises(FhirError) as refused:
        read(data)
    (issue,) = refused.value.issues
    assert refused.value.status == 400
    assert issue.code == "structure"
    assert where in issue.text


def test_refusals_do_not_quote_content() -> None:
    for data in (b'{"name": Zhang}', b'{"Zhang":1,"Zhang":2}', b'{"a":"Zhang\\q"}', b'{"a":"Zhang\\ud800"}'):
        with pytest.raises(FhirError) as refused:
            read(data)
        assert "Zhang" not in refused.value.issues[0].text


def test_takes_what_only_looks_doubtful() -> None:
    assert read(_nested(MAX_DEPTH))
    assert read(b'{"a":"\\ud83d\\ude00","b":"\\\\ud800"}') == {"a": "\U0001f600", "b": "\\ud800"}
    assert read(b'{"a":{"b":1},"c":{"b":1}}') == {"a": {"b": 1}, "c": {"b": 1}}
    assert read(b' \r\n\t{"a":"NaN [[[[ {{{{"} ') == {"a": "NaN [[[[ {{{{"}


@pytest.mark.parametrize(
    "text",
    ["1.10", "1.0", "0.0", "-0", "-0.0", "1E5", "1e-7", "1.5e+3", "0.00001", "12345678901234567890123", "18446744073709551615",
     "0.1", "5", "-7.25", "3.14159265358979323846", "9007199254740993"],
)  # fmt: skip
def test_numbers_come_back_as_written(text: str) -> None:
    """datatypes.html#decimal: the precision of a decimal is significant."""
    data = f'{{"a":[{text}]}}'.encode()
    assert write(read(data)) == data


def test_a_number_survives_copies() -> None:
    number = Number("1.10")
    for twin in (copy.copy(number), copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert (twin, twin.text) == (1.1, "1.10")


def test_write_refuses_what_is_not_json() -> None:
    with pytest.raises(TypeError):
        write({"a": object()})


_DECIMALS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True, alphabet=st.characters(codec="ascii")
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | _TEXTS | _DECIMALS.map(Number),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(_TEXTS, values, max_size=4),
    max_leaves=12,
)


def _texts_of_numbers(value: object) -> object:
    if isinstance(value, dict):
        return {key: _texts_of_numbers(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_texts_of_numbers(child) for child in value]
    return write(value) if isinstance(value, int | float) else value


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_TEXTS, _VALUES, max_size=5), st.booleans())
def test_round_trip(resource: dict[str, object], ascii_only: bool) -> None:
    """Equal as JSON, decimals equal as text, whatever the escapes and the white space."""
    written = write(resource)
    assert _texts_of_numbers(read(written)) == _texts_of_numbers(resource)
    assert write(read(written)) == written
    loose = json.dumps(json.loads(written, parse_float=str, parse_int=str), indent=1, ensure_ascii=ascii_only)
    assert read(loose.encode()) == json.loads(loose)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text('{}[]":,\\ud80ea1.- \n', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read(data), dict)
    except FhirError as refused:
        assert refused.status == 400
