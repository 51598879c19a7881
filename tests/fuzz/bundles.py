"""Batches and transactions that are nearly right: a third is carried out, the others are wrong in one entry or another."""

from hypothesis import strategies as st

PATCH = "application/json-patch+json"
ODD = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Z", "C")), max_size=40)
NAMES = st.sampled_from([
    "urn:uuid:00000000-0000-4000-8000-000000000001", "urn:uuid:00000000-0000-4000-8000-000000000002", "urn:oid:1.2.3", "#a",
    "Patient/p", "Patient/p/_history/1", "Patient?identifier=urn:x|a", "Patient?_id=p,p", "Group/g", "http://x.example/Patient/p",
    "Patient", "Basic", "Basic/b", "Basic?code=a|b", "metadata", "", "/", "//", "?", "Patient/p/$everything", "Patient/_search",
    "Patient/p/$meta", "Patient/$reviews", "_history", "Observation?patient=Patient/p&_sort=-date", "Patient/$erase",
])  # fmt: skip
FULL_URLS = st.sampled_from([f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in range(9)])
REFERENCES = st.fixed_dictionaries({"reference": st.one_of(FULL_URLS, NAMES, ODD)})
CONDITIONS = {
    "ifMatch": st.sampled_from(['W/"1"', 'W/"2"', "1", '"1"', "*"]),
    "ifNoneMatch": st.sampled_from(["*", 'W/"1"', "x"]),
    "ifModifiedSince": st.sampled_from(["2020-01-01T00:00:00Z", "2020", "x"]),
    "ifNoneExist": st.sampled_from(["identifier=urn:x|a", "code=x", "_id=p", "name=a&" * 9, "", "?"]),
}
PATCHES = st.sampled_from(["W10=", "W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2dlbmRlciJ9XQ==", "e30=", "!", ""])


def content(kind: str, **elements: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries({"resourceType": st.just(kind)}, optional=elements)


LINKS = st.lists(st.fixed_dictionaries({"type": st.just("seealso"), "other": REFERENCES}), min_size=1, max_size=2)
IDENTIFIERS = st.just([{"system": "urn:x", "value": "a"}])
PERSON = content("Patient", link=LINKS, identifier=IDENTIFIERS, gender=st.sampled_from(["male", "female"]))
THING = st.builds(lambda made: made | {"code": {"text": "x"}}, content("Basic", subject=REFERENCES, identifier=IDENTIFIERS))
PATCHED = content("Binary", contentType=st.just(PATCH), data=PATCHES)
IDS = st.sampled_from(["p", "q"])
ASKED = st.one_of(
    st.builds(lambda known, made: ("PUT", f"Patient/{known}", made | {"id": known}), IDS, PERSON),
    st.tuples(st.just("PUT"), st.just("Patient?identifier=urn:x|a"), PERSON),
    st.tuples(st.just("POST"), st.just("Patient"), PERSON),
    st.tuples(st.just("POST"), st.just("Basic"), THING),
    st.tuples(st.just("PATCH"), st.sampled_from(["Patient/p", "Patient?identifier=urn:x|a"]), PATCHED),
    st.tuples(st.just("DELETE"), st.sampled_from(["Patient/p", "Patient/q", "Basic?identifier=urn:x|a"]), st.none()),
    st.tuples(st.sampled_from(["GET", "HEAD"]), NAMES, st.none()),
    st.tuples(
        st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "X"]), st.one_of(NAMES, ODD), st.one_of(PERSON, THING, PATCHED)
    ),
)


def entry(asked: tuple, conditions: dict, full_url: str | None) -> dict:
    method, url, resource = asked
    made = {"request": {"method": method, "url": url} | conditions}
    return made | ({"resource": resource} if resource else {}) | ({"fullUrl": full_url} if full_url else {})


SOME_CONDITIONS: st.SearchStrategy[dict] = st.one_of(st.just({}), st.just({}), st.fixed_dictionaries({}, optional=CONDITIONS))
ENTRIES = st.builds(entry, ASKED, SOME_CONDITIONS, st.one_of(st.none(), FULL_URLS))
BUNDLES = st.builds(
    lambda kind, entries: {"resourceType": "Bundle", "type": kind, "entry": entries},
    st.sampled_from(["batch", "transaction"]),
    st.lists(ENTRIES, min_size=1, max_size=6),
)
