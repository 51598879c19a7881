"""HL7 v2.5.1 chapter 2: delimiters, escape sequences, nulls, character sets, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.hl7v2.errors import Hl7Error
from adapters.hl7v2.escape import Delimiters, escape, unescape
from adapters.hl7v2.parse import MAX_FIELDS, MAX_SEGMENTS, Message, parse, unmapped
from tests.adapters.support import message

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)
ANY_DELIMITERS = st.permutations("|^~\\&#!$%*+").map(lambda marks: Delimiters(*marks[:5]))
# Characters whose second byte in GB 18030 is an ASCII letter or a delimiter: | ^ ~ \ among them.
TRICKY = "".join(
    chr(code) for code in range(0x4E00, 0x9FA5) if any(byte in b"|^~\\&\r" for byte in chr(code).encode("gb18030")[1:])
)


def pid(parsed: Message):
    return next(segment for segment in parsed.segments if segment.name == "PID")


@given(TEXT, ANY_DELIMITERS)
def test_escape_and_back_2_7(text: str, delimiters: Delimiters) -> None:
    assert unescape(escape(text, delimiters), delimiters) == text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
        (r"one\.br\two\.sp2\three", "one\ntwo\nthree"),
        (r"\H\bold\N\ plain", "bold plain"),
        (r"\XE696B0\疆", "新疆"),
        (r"\XFF\ is no text", r"\XFF\ is no text"),
        (r"\.in5\indented\.ti-2\ ", "indented "),
        (r"C:\dir", r"C:\dir"),
        (r"\Q\ unknown", r"\Q\ unknown"),
    ],
)
def test_escape_sequences_2_7(written: str, meant: str) -> None:
    assert unescape(written) == meant


@settings(max_examples=60)
@given(st.lists(st.lists(TEXT.map(str.strip), min_size=1, max_size=4), min_size=1, max_size=6), ANY_DELIMITERS)
def test_build_and_parse_round_trip_2_6(fields: list[list[str]], marks: Delimiters) -> None:
    built = marks.field.join(marks.component.join(escape(part, marks) for part in field) for field in fields)
    encoding = f"{marks.component}{marks.repetition}{marks.escape}{marks.subcomponent}"
    parsed = parse(f"MSH{marks.field}{encoding}{marks.field}HIS\rPID{marks.field}{built}\r".encode())
    for number, field in enumerate(fields, 1):
        for position, part in enumerate(field, 1):
            assert pid(parsed)[number][position] == part.replace('""', "" if part == '""' else '""')


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segment_ends(end: str) -> None:
    parsed = parse(message("PID|1||7").replace(b"\r", end.encode()))
    assert [segment.name for segment in parsed.segments] == ["MSH", "PID"]


def test_null_is_not_absent_2_5_3_4() -> None:
    segment = pid(parse(message('PID|1||7||""')))
    assert segment[5].null() and not segment[5] and 5 not in segment
    assert not segment[6].null() and not segment.repetitions(6)


def test_subcomponents_and_repetitions() -> None:
    segment = pid(parse(message("PID|1||7^^^A&1.2&ISO~8")))
    assert [rep[1] for rep in segment.repetitions(3)] == ["7", "8"]
    assert (segment[3][4], segment[3].sub(4, 2), segment[3].sub(4, 3), segment[3].sub(4, 4)) == ("A", "1.2", "ISO", "")


@given(st.text(st.sampled_from(TRICKY), min_size=1, max_size=12))
def test_gb18030_is_decoded_before_it_is_split(name: str) -> None:
    raw = message("PID|1||7||X").decode().replace("X", name).encode("gb18030")
    assert pid(parse(raw, "gb18030"))[5][1] == name


@pytest.mark.parametrize(("declared", "charset"), [("UNICODE UTF-8", "utf-8"), ("GB 18030-2000", "gb18030")])
def test_msh_18_decides_the_charset_table_0211(declared: str, charset: str) -> None:
    raw = f"MSH|^~\\&|医|院|||||ADT^A01|1|P|2.5.1||||||{declared}\rPID|1||7||{TRICKY[:40]}\r".encode(charset)
    for default in ("utf-8", "gb18030"):
        parsed = parse(raw, default)
        assert parsed.charset == charset and pid(parsed)[5][1] == TRICKY[:40]


def test_a_character_set_nobody_knows_is_not_guessed_table_0211() -> None:
    """Read as GB 18030, a name in another character set would be a name of somebody else."""
    header = b"MSH|^~\\&|A|B|||||ADT^A01|1|P|2.5.1||||||JIS X 0202\r"
    with pytest.raises(Hl7Error, match="known character set"):
        parse(header + "PID|1||7||王".encode("gb18030"), "gb18030")
    assert pid(parse(header + b"PID|1||7||plain", "gb18030"))[5][1] == "plain"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "does not begin with an MSH"),
        (b"PID|1\r", "does not begin with an MSH"),
        (b"MSH|||||||\r", "MSH-1 and MSH-2"),
        (b"MSH|^^\\&|A\r", "MSH-1 and MSH-2"),
        (message("pid|1"), "segment 2 has no name"),
        (message("MSH|^~\\&|again"), "a second MSH"),
        (message("PID|1||7||X").replace(b"|X", b"|\xff"), "is not utf-8"),
        (message("PID" + "|x" * (MAX_FIELDS + 1)), "more than 512 fields"),
        (message(*["NTE|1||x"] * MAX_SEGMENTS), "more than 10000 segments"),
    ],
)
def test_refusals_say_what_is_wrong(raw: bytes, said: str) -> None:
    with pytest.raises(Hl7Error, match=said):
        parse(raw)


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: message("PID|1||7") + tail))
def test_any_bytes_parse_or_are_refused(raw: bytes) -> None:
    try:
        parse(raw)
    except Hl7Error as error:
        assert error.code in ("AE", "AR")


def test_what_nobody_reads_is_listed() -> None:
    parsed = parse(message("PID|1||7^^^A~8||FAMILY&OWN^GIVEN^MIDDLE", "ZXX|a||b"))
    segment = pid(parsed)
    _ = segment[3][1], segment.repetitions(3)[0][4], segment[5][1], segment[5][2]
    assert unmapped(parsed)[-5:] == ["PID-3[2]", "PID-5.1.2", "PID-5.3", "ZXX-1", "ZXX-3"]
