"""Custom search parameters over Synthea, defined while it is being loaded: every search as a naive oracle finds it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import serving
from tests.store import region
from tests.store.naive import MOMENT, PARAMETERS, at, matching, together, values
from tests.store.parameters import composite, indexed, parameter, store
from tests.store.region import Resource, everything
from tests.store.test_synthea import MODIFIED, PREFIXED, askable

BORN_AT = "Patient.extension('http://hl7.org/fhir/StructureDefinition/patient-birthPlace').value"
# type -> code -> the expression of the SearchParameter, its type, and where the oracle looks
CUSTOM: dict[str, dict[str, tuple[str, str, list[str]]]] = {
    "Observation": {
        "my-code": ("Observation.code | Observation.component.code", "token", ["code.coding", "component.code.coding"]),
        "my-status": ("Observation.where(status.exists()).status", "token", ["status"]),
        "my-worth": ("value.ofType(Quantity) | component.value", "quantity", ["valueQuantity", "component.valueQuantity"]),
        "my-when": ("Observation.effective", "date", ["effectiveDateTime"]),
        "my-patient": ("Observation.subject.where(resolve() is Patient)", "reference", ["subject"]),
        "my-profile": ("Resource.meta.profile", "uri", ["meta.profile"]),
        "my-issue": ("issued", "date", ["issued"]),
    },
    "Patient": {
        "my-place": (BORN_AT, "string", [f"extension.valueAddress.{one}" for one in ("city", "state", "country")]),
        "my-text": ("Patient.extension.value.ofType(string)", "string", ["extension.valueString"]),
        "my-city": ("Patient.address.where(city.exists()).city", "string", ["address.city"]),
        "my-birth": ("Patient.birthDate", "date", ["birthDate"]),
        "my-number": ("Patient.identifier.skip(0)", "token", ["identifier"]),
    },
    "Encounter": {
        "my-doctor": ("Encounter.participant.individual", "reference", ["participant.individual"]),
        "my-time": ("Encounter.period", "date", ["period"]),
        "my-kind": ("(Encounter.type | Encounter.reasonCode).coding", "token", ["type.coding", "reasonCode.coding"]),
    },
}


R4 = "http://hl7.org/fhir/SearchParameter/"
Parts = tuple[tuple[str, str], ...]
# type -> code -> the composite's expression and its components, each with the expression; where the oracle looks: at which
# elements ("" the resource), for parts of which kinds
COMPOSITES: dict[str, dict[str, tuple[str, Parts, str, Parts]]] = {
    "Observation": {
        "part-worth": (
            "Observation.component", (("urn:region:my-code", "code"), ("urn:region:my-worth", "value")),
            "component", (("token", "code.coding"), ("quantity", "valueQuantity")),
        ),
        "worth-when": (
            "Observation", ((f"{R4}Observation-value-quantity", "value as Quantity"), ("urn:region:my-when", "effective")),
            "", (("quantity", "valueQuantity"), ("date", "effectiveDateTime")),
        ),
    },
    "Patient": {
        "born-in": (
            "Patient", (("urn:region:my-birth", "birthDate"), ("urn:region:my-city", "address.city")),
            "", (("date", "birthDate"), ("string", "address.city")),
        ),
    },
    "Encounter": {
        "doctor-time": (
            "Encounter.participant", ((f"{R4}Encounter-practitioner", "individual"), ("urn:region:my-time", "period")),
            "participant", (("reference", "individual"), ("date", "period")),
        ),
    },
}  # fmt: skip


class Half:
    """The client, and what is stored by type; half of it was there before the parameters were."""

    def __init__(self, client: httpx.AsyncClient, stored: dict[str, list[Resource]]) -> None:
        self.client, self.stored = client, stored

    async def found(self, kind: str, pairs: list[tuple[str, str]], count: int) -> list[str]:
        return [one["id"] for one in await everything(self.client, f"{kind}?{urlencode([*pairs, ('_count', str(count))])}")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def half(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Half]:
    data: Path = tmp_path_factory.mktemp("half")
    watch = serving.Watch()
    async with serving.door(mongodb_uri, "test_half", data, now=watch, default_policy="permit-treatment") as door:
        client, admin = door.client("system", organization="synthea", lifetime=3600), door.admin()
        bundles = region.bundles(3)
        await region.load(client, bundles[:3])
        loading = asyncio.create_task(region.load(client, [*bundles[:2], *bundles[3:]]))
        for kind, named in CUSTOM.items():
            await store(admin, *(parameter(code, sort, kind, text) for code, (text, sort, _) in named.items()))
            await store(admin, *(composite(code, kind, text, *parts) for code, (text, parts, *_) in COMPOSITES[kind].items()))
        await loading
        await indexed(admin)
        MOMENT["ms"] = watch.stop()
        yield Half(client, {kind: await everything(client, f"{kind}?_count=1000") for kind in CUSTOM})
        await door.exchange.database.client.drop_database("test_half")


@pytest.fixture(autouse=True, scope="module")
def _known_to_the_oracle() -> Iterator[None]:
    original = {kind: dict(PARAMETERS[kind]) for kind in CUSTOM}
    for kind, named in CUSTOM.items():
        PARAMETERS[kind] |= {code: (sort, paths) for code, (_, sort, paths) in named.items()}
    yield
    PARAMETERS.update(original)


@settings(max_examples=60, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_any_search_agrees_with_the_oracle(half: Half, data: st.DataObject) -> None:
    """searchparameter.html: one or two criteria of a resource that exists, a custom one among them, in pages of any size"""
    kind = data.draw(st.sampled_from(sorted(CUSTOM)))
    one = data.draw(st.sampled_from(half.stored[kind]))
    names = [data.draw(st.sampled_from(sorted(CUSTOM[kind])))]
    names += data.draw(st.lists(st.sampled_from(sorted(PARAMETERS[kind])), max_size=1))
    pairs = [pair for name in names if (pair := _drawn(data, one, kind, name))]
    expected = matching(half.stored[kind], kind, pairs)
    got = await half.found(kind, pairs, data.draw(st.integers(1 + len(expected) // 4, 1000)))
    assert sorted(got) == sorted(expected), pairs


def _drawn(data: st.DataObject, one: Resource, kind: str, name: str) -> tuple[str, str]:
    sort = PARAMETERS[kind][name][0]
    texts = [text for element in values(one, name) for text in askable(sort, element) if not set(text) & set(",$\\")]
    if not texts or data.draw(st.integers(0, 9)) == 0:
        return f"{name}:missing", data.draw(st.sampled_from(("true", "false")))
    modifier, prefix = (data.draw(st.sampled_from(among.get(sort, [""]))) for among in (MODIFIED, PREFIXED))
    return name + modifier, prefix + data.draw(st.sampled_from(texts))


@settings(max_examples=60, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_composites_agree_with_the_oracle(half: Half, data: st.DataObject) -> None:
    """search.html#combining: parts of one element, or of several, which only meets where they stand together"""
    kind = data.draw(st.sampled_from(sorted(COMPOSITES)))
    code = data.draw(st.sampled_from(sorted(COMPOSITES[kind])))
    _, _, place, parts = COMPOSITES[kind][code]
    one = data.draw(st.sampled_from([one for one in half.stored[kind] if _has_all(one, place, parts)]))
    asked = [_part_drawn(data, data.draw(st.sampled_from(list(at(one, place)))), *part) for part in parts]
    if all(asked):
        meets = together(*parts)
        stored = half.stored[kind]
        expected = [some["id"] for some in stored if any(meets(element, "$".join(asked), "") for element in at(some, place))]
        got = await half.found(kind, [(code, "$".join(asked))], data.draw(st.integers(1 + len(expected) // 4, 1000)))
        assert sorted(got) == sorted(expected), (code, asked)


def _has_all(one: Resource, place: str, parts: Parts) -> bool:
    return any(all(any(at(element, path)) for _, path in parts) for element in at(one, place))


def _part_drawn(data: st.DataObject, element: Resource, sort: str, path: str) -> str:
    texts = [text for found in at(element, path) for text in askable(sort, found) if not set(text) & set(",$\\")]
    return data.draw(st.sampled_from(PREFIXED.get(sort, [""]))) + data.draw(st.sampled_from(texts)) if texts else ""


async def test_each_has_something_to_find(half: Half) -> None:
    assert all(any(values(one, code) for one in half.stored[kind]) for kind in CUSTOM for code in CUSTOM[kind])
    for kind, composites in COMPOSITES.items():
        for _, _, place, parts in composites.values():
            assert any(_has_all(one, place, parts) for one in half.stored[kind])
