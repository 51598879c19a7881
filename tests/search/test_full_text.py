"""What `_text` and `_content` ask for (search.html#text)."""

import pytest

from fhir_server.r4.errors import FhirError
from fhir_server.search.match import matches
from fhir_server.search.query import parse


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bone metastases", True),
        ("metastases and BONE", True),
        ("bone liver", False),
        ("bone OR liver", True),
        ("(bone OR liver) and metastases", True),
        ("(kidney OR liver) metastases", False),
        ("kidney or (bone (of or in))", True),
        ('"of the bone"', True),
        ('"bone of"', False),
        ("liver or", False),
        ("Métastases", True),
    ],
)
def test_full_text(asked: str, expected: bool) -> None:
    """search.html#text: several words, and logical operations such as AND, OR"""
    narrative = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Metastases of the <b>bone</b></div>'}
    for name in ("_text", "_content"):
        [clause] = parse("Condition", [(name, asked)]).clauses
        assert matches(clause, {"resourceType": "Condition", "text": narrative}) is expected


@pytest.mark.parametrize("asked", ["or", "and", "()", '""', "(bone", "bone)", "(" * 5000 + "bone" + ")" * 5000])
def test_full_text_that_says_nothing_is_refused(asked: str) -> None:
    with pytest.raises(FhirError, match="_content has a value that has"):
        parse("Condition", [("_content", asked)])
