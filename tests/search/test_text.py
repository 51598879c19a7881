"""How strings are compared (search.html#string): Chinese, Uyghur, Kazakh and Latin names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.search.text import longest_prefix, normalise, prefixes


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("  Jean   Luc ", "jean luc"),
        ("Ève", "eve"),
        ("NUÑEZ", "nunez"),
        ("Strauß", "STRAUSS"),
        ("Nguyễn", "nguyen"),
        ("阿依古丽•买买提", "阿依古丽·买买提"),
        ("阿依古丽・买买提", "阿依古丽·买买提"),
        ("阿依古丽‧买买提", "阿依古丽·买买提"),
        ("王 小明", "王\u3000小明"),
        ("ＡＢＣ１２", "abc12"),
        ("ئايگۈل مەمەت", "ئايگۈل\u200f  مەمەت"),
        ("مـــەمەت", "مەمەت"),
        ("АЙГҮЛ", "айгүл"),
        ("O'Brien", "OBRIEN"),
        ("O’Brien", "o`brien"),
        ("Müʼmin", "Mu'min"),
        ("Smith, John", "smith john"),
        ("Jean-Luc", "Jeanluc"),
        ("王小明（子）", "王小明(子)"),
        ("«Дом»", "дом"),
    ],
)
def test_written_differently_and_the_same(written: str, same: str) -> None:
    assert normalise(written) == normalise(same)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ئى", "ى"), ("й", "и"), ("王", "玉"), ("ө", "о"), ("阿依·古丽", "阿依古丽"), ("a+", "a")],
)
def test_letters_are_not_accents(one: str, other: str) -> None:
    """Hamza in ئ and the breve in й make another letter; the interpunct parts names, and a symbol is no punctuation."""
    assert normalise(one) != normalise(other)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20))
def test_normal_form_is_normal(text: str) -> None:
    """What is normalised stays as it is, or a query would miss what it was copied from."""
    assert normalise(normalise(text)) == normalise(text)


def test_what_is_nothing_but_punctuation_keeps_it() -> None:
    """Else everything would begin with it."""
    assert normalise("--") == "--" and normalise("（ ）") == "( )"


@settings(max_examples=300, deadline=None)
@given(st.text("aB é阿·+'’-. ", max_size=12), st.integers(0, 12))
def test_what_begins_a_text_begins_its_normal_form(text: str, length: int) -> None:
    """search.html#string: a string is found by how it begins, with the punctuation or without"""
    began = normalise(text[:length])
    assert normalise(text).startswith(began) or not any(one.isalnum() for one in began)


def test_no_prefix_of_one_letter_is_indexed() -> None:
    """DESIGN 3: keyed hashes do not hide frequency."""
    assert prefixes("王") == [] and longest_prefix("王") is None
    assert prefixes("王小明") == ["王小", "王小明"]
    assert longest_prefix("zhangsan") == "zhangsan" and longest_prefix("zhangsanfeng") == "zhangsan"
