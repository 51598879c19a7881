"""consent.scopes: SMART App Launch 2.2, "Scopes for requesting FHIR Resources"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.scopes import Scope, allows, narrow, parse


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("system/Observation.rs", ("system", "Observation", "rs")),
        ("user/*.cruds", ("user", "*", "cruds")),
        ("patient/Consent.c", ("patient", "Consent", "c")),
        ("patient/*.read", ("patient", "*", "rs")),
        ("user/Patient.write", ("user", "Patient", "cud")),
        ("system/*.*", ("system", "*", "cruds")),
    ],
)
def test_versions_1_and_2(text: str, scope: tuple[str, str, str]) -> None:
    assert parse(text) == Scope(*scope)


@pytest.mark.parametrize(
    "text",
    [
        "", "openid", "launch/patient", "system/Observation", "system/Observation.", "system/Observation.sr",
        "system/Observation.rs?category=x", "system/observation.rs", "admin/*.cruds", "system/*.cruds ", "system/*.rr",
    ],
)  # fmt: skip
def test_what_is_no_supported_scope(text: str) -> None:
    with pytest.raises(ValueError, match="scopes must be like"):
        parse(text)
    assert not allows((text,), "Observation", "r")


def test_a_scope_allows_its_type_and_interactions() -> None:
    scopes = ("system/Observation.rs", "system/Patient.c")
    assert [letter for letter in "cruds" if allows(scopes, "Observation", letter)] == ["r", "s"]
    assert [letter for letter in "cruds" if allows(scopes, "Patient", letter)] == ["c"]
    assert not allows((), "Patient", "r")


@pytest.mark.parametrize(
    ("requested", "allowed", "granted"),
    [
        ("system/*.cruds", "system/Observation.rs", "system/Observation.rs"),
        ("system/Patient.rs", "system/*.cruds", "system/Patient.rs"),
        ("system/*.cruds", "system/*.rs system/Patient.c", "system/*.rs system/Patient.c"),
        ("user/*.rs", "system/*.cruds", ""),
        ("system/Patient.c", "system/Patient.rs", ""),
        ("system/Patient.rs", "system/Observation.rs", ""),
    ],
)
def test_requests_are_narrowed_to_what_the_client_may(requested: str, allowed: str, granted: str) -> None:
    """RFC 6749 3.3: the server may grant less than was asked."""
    assert narrow(requested.split(), allowed.split()) == tuple(granted.split())


TEXTS = st.lists(
    st.builds(
        lambda *parts: str(Scope(*parts)),
        st.sampled_from(["system", "user"]),
        st.sampled_from(["*", "Patient", "Observation"]),
        st.sampled_from(["r", "rs", "cruds", "cud"]),
    ),
    max_size=3,
)


@given(TEXTS, TEXTS, st.sampled_from(["Patient", "Observation", "Encounter"]), st.sampled_from(["c", "r", "u", "d", "s"]))
def test_never_more_than_both(requested: list[str], allowed: list[str], resource_type: str, interaction: str) -> None:
    """What is granted allows exactly what some scope of the same level allows on both sides."""
    both = any(
        allows(tuple(s for s in requested if s.startswith(level)), resource_type, interaction)
        and allows(tuple(s for s in allowed if s.startswith(level)), resource_type, interaction)
        for level in ("system", "user")
    )
    assert allows(narrow(requested, allowed), resource_type, interaction) is both
