"""Small regions, drawn by Hypothesis: who lives there, what was written about them, who looks at it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from fhir_server.record.bookings import TELEMEDICINE
from fhir_server.store.documents import sort_stamp
from fhir_server.store.secrets import Secrets, identity_hash
from telemedicine.finding import TELECONSULTATION
from telemedicine.specialties import SPECIALTIES, coding
from tests.gate import building
from tests.gate.building import HIV, ICD_10, Resource, id_card, labelled, provision

MASTER = bytes(range(32))
HOSPITALS = ("a", "b")
DATES = ("2020-01-01", "2020-01-02", None)
NUMBERS = "urn:test:number"
VALUE_SETS = ("urn:test:set:0", "urn:test:set:1")
PROFILES = ("urn:test:profile:0", "urn:test:profile:1")
QUESTIONS = ("urn:test:questions:0", "urn:test:questions:1")
PERIOD = {"past": {"end": "2001-12-31"}, "present": {"start": "2001-01-01"}}


@dataclass(frozen=True, slots=True)
class Version:
    """One write: about whom (Patient ids), labelled how (HIV is a code, R and V are labels), with what in it; None: delete."""

    patients: tuple[str, ...]
    label: str | None = None
    content: int = 0
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What a Consent says: at most one criterion of a kind. `actor` is a reference."""

    effect: str
    actor: str | None = None
    purpose: str | None = None
    label: str | None = None
    period: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A resource with all its versions. `custodian`: a hospital, or `patient/ID` where the patient wrote it."""

    type: str
    id: str
    custodian: str
    versions: tuple[Version, ...]
    rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Who looks: claims of a token. `types`: those its scopes name, None for all."""

    kind: str
    claims: tuple[tuple[str, str], ...] = ()
    types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class World:
    """A region. `persons` are sets of Patients, linked where there are several; `written` is in order."""

    policy: str
    persons: tuple[tuple[str, ...], ...]
    written: tuple[Written, ...]
    onlooker: Onlooker

    @property
    def patients(self) -> tuple[str, ...]:
        return tuple(chain.from_iterable(self.persons))

    def writes(self) -> Iterator[tuple[Written, int]]:
        """All writes in order, as (resource, number of its version): first versions first."""
        for number in range(max((len(one.versions) for one in self.written), default=0)):
            yield from ((one, number) for one in self.written if number < len(one.versions))


def keeper(patient: str) -> str:
    """The hospital that keeps a Patient: `p1-a` is hospital a's."""
    return patient.rpartition("-")[2]


# --- resources -----------------------------------------------------------------------------------------------------------


def resource_of(one: Written, number: int, persons: Iterable[tuple[str, ...]] = ()) -> Resource:
    """The resource that this version writes."""
    version = one.versions[number]
    made = BUILT[one.type](one, version, persons)
    code = labelled(version.label) if version.label in ("R", "V") else {}
    return {**made, "resourceType": one.type, "id": one.id, **code}


def _shared(version: Version) -> Resource:
    return {"identifier": [{"system": NUMBERS, "value": str(version.content % 3)}]}


def _refer(*names: str) -> list[Resource]:
    return [{"reference": name} for name in names]


def _code(version: Version) -> Resource:
    return {"coding": [{"system": ICD_10, "code": HIV if version.label == "HIV" else ("J10", "I10")[version.content % 2]}]}


def _dated(name: str, version: Version) -> Resource:
    date = DATES[version.content % len(DATES)]
    return {name: date} if date else {}


def _subject(version: Version) -> Resource:
    return building.about(version.patients[0]) if version.patients else {"subject": {"display": "somebody"}}


def _observation(one: Written, version: Version, persons: Any) -> Resource:
    others = _refer(*(f"Patient/{name}" for name in version.patients[1:]), f"Practitioner/{IDS['Practitioner'][0]}")
    told = {"status": "final", "code": _code(version), "performer": others, "valueInteger": version.content}
    within = {"encounter": {"reference": f"Encounter/{IDS['Encounter'][version.content % 2]}"}}
    taken = _specimen(version) if version.content % 2 else {}
    return {**_shared(version), **told, **within, **taken, **_subject(version), **_dated("effectiveDateTime", version)}


def _specimen(version: Version) -> Resource:
    """One that is contained."""
    specimen = {"resourceType": "Specimen", "id": "s", **_shared(version), **_subject(version)}
    return {"contained": [specimen], "specimen": {"reference": "#s"}}


def _condition(one: Written, version: Version, persons: Any) -> Resource:
    note = [{"text": str(version.content)}]
    others = {"asserter": {"reference": f"Patient/{version.patients[1]}"}} if len(version.patients) > 1 else {}
    return {"code": _code(version), "note": note, **_subject(version), **others, **_dated("onsetDateTime", version)}


def _encounter(one: Written, version: Version, persons: Any) -> Resource:
    period = {"period": {"start": date}} if (date := DATES[version.content % len(DATES)]) else {}
    basis = [{"reference": f"Appointment/{IDS['Appointment'][0]}"}]
    others = {"extension": [_named(name) for name in version.patients[1:]]} if version.patients[1:] else {}
    told = {"status": "finished", "class": {"code": "AMB"}, "priority": {"text": str(version.content)}, "appointment": basis}
    told["partOf"] = {"reference": f"Encounter/{IDS['Encounter'][version.content % len(IDS['Encounter'])]}"}
    return {**told, "reasonCode": [_code(version)], **_shared(version), **_subject(version), **period, **others}


def _named(patient: str) -> Resource:
    return {"url": "http://example.org/also", "valueReference": {"reference": f"Patient/{patient}"}}


def _appointment(one: Written, version: Version, persons: Any) -> Resource:
    who = _refer(*(f"Patient/{name}" for name in version.patients)) or [{"display": "somebody"}]
    asked = {"participant": [{"actor": actor, "status": "accepted"} for actor in who], "reasonCode": [_code(version)]}
    return {"status": "proposed", "description": str(version.content), **_shared(version), **asked}


def _service_request(one: Written, version: Version, persons: Any) -> Resource:
    """A request that a pairing round takes up, where it is about somebody and the service sees it."""
    others = {"extension": [_named(name) for name in version.patients[1:]]} if version.patients[1:] else {}
    told = {"status": "active", "intent": "order", "code": TELECONSULTATION, "reasonCode": [_code(version)]}
    wanted = {"performerType": {"coding": [coding(next(iter(SPECIALTIES)))]}, "note": [{"text": str(version.content)}]}
    return {**told, **wanted, **others, **_shared(version), **_subject(version), **_dated("authoredOn", version)}


def _device(one: Written, version: Version, persons: Any) -> Resource:
    worn = {"patient": {"reference": f"Patient/{version.patients[0]}"}} if version.patients else {}
    others = {"extension": [_named(name) for name in version.patients[1:]]} if version.patients[1:] else {}
    return {"lotNumber": str(version.content), "type": _code(version), **_shared(version), **worn, **others}


def _list(one: Written, version: Version, persons: Any) -> Resource:
    names = [f"{kind}/{known}" for kind in ("Observation", "Device") for known in IDS[kind][version.content % 3 :: 2]]
    others = {"source": {"reference": f"Patient/{version.patients[1]}"}} if version.patients[1:] else {}
    told = {
        "status": "current",
        "mode": "working",
        "title": str(version.content),
        "code": _code(version),
        "entry": [{"item": item} for item in _refer(*names)],
    }
    return {**told, **_shared(version), **_subject(version), **others}


def _practitioner(one: Written, version: Version, persons: Any) -> Resource:
    return {**_shared(version), "name": [{"text": f"Doctor {version.content}"}]}


def _patient(one: Written, version: Version, persons: Iterable[tuple[str, ...]]) -> Resource:
    serial = next(n for n, person in enumerate(persons) if one.id in person)
    made = building.patient(one.id, id_card(serial), name=f"Person {serial}")
    return made | {"gender": ("male", "female")[version.content % 2], "multipleBirthInteger": version.content}


def _consent(one: Written, version: Version, persons: Any) -> Resource:
    (rule,) = one.rules
    stated: Resource = {"period": PERIOD[rule.period]} if rule.period else {}
    named = {name: (value,) for name in ("actor", "purpose", "label") if (value := getattr(rule, name))}
    root = provision(rule.effect, **{f"{name}s": value for name, value in named.items()}, **stated)
    return building.consent(one.id, version.patients[0], root)


def _composition(one: Written, version: Version, persons: Any) -> Resource:
    seen = _refer(f"Observation/{IDS['Observation'][0]}") if version.content % 3 else []
    others = [{"mode": "personal", "party": {"reference": f"Patient/{name}"}} for name in version.patients[1:]]
    told = {"status": "final", "type": _code(version), "title": str(version.content), "date": "2020-01-01"}
    filled = {"section": [{"title": "seen", "entry": seen}]} if seen else {}
    written = {"author": [{"display": "somebody"}], **({"attester": others} if others else {})}
    return {**told, **_subject(version), **written, **filled}


def _value_set(one: Written, version: Version, persons: Any) -> Resource:
    """Of one of two urls, including the other's where its content says so; about persons where versions are."""
    url, other = VALUE_SETS[version.content % 2], VALUE_SETS[1 - version.content % 2]
    nested = [{"valueSet": [other]}] if version.content % 3 == 0 else []
    code = HIV if version.label == "HIV" else str(version.content)
    listed = {"system": ICD_10, "concept": [{"code": code}, {"code": "1"}]}
    about = {"extension": [_named(name) for name in version.patients]} if version.patients else {}
    told = {"url": url, "title": str(version.content), "status": "active"}
    return {**told, "compose": {"include": [listed, *nested]}, **about}


def _structure(one: Written, version: Version, persons: Any) -> Resource:
    """A profile under one of two urls that asks for one element or another; about persons where versions are."""
    wanted = ("note", "bodySite", "method")[version.content % 3]
    elements = [{"id": path, "path": path, "min": 1} for path in ("Observation", f"Observation.{wanted}")]
    about = {"extension": [_named(name) for name in version.patients]} if version.patients else {}
    kind = {"kind": "resource", "abstract": False, "type": "Observation", "derivation": "constraint"}
    told = {"url": PROFILES[version.content % 2], "name": f"P{version.content}", "status": "active", **kind}
    base = {"baseDefinition": "http://hl7.org/fhir/StructureDefinition/Observation"}
    return {**told, **base, "jurisdiction": [_code(version)], "differential": {"element": elements}, **about}


def _questionnaire(one: Written, version: Version, persons: Any) -> Resource:
    """Of one of two urls, in one of three versions; about persons where versions are."""
    about = {"extension": [_named(name) for name in version.patients]} if version.patients else {}
    told = {"url": QUESTIONS[version.content % 2], "version": str(version.content % 3), "title": str(version.content)}
    return {**told, "status": "active", "code": _code(version)["coding"], **about}


def _questionnaire_response(one: Written, version: Version, persons: Any) -> Resource:
    """To what has one of the urls, in a version or in any."""
    url = QUESTIONS[version.content % 2] + ("", "|0", "|1")[version.content // 2 % 3]
    others = {"source": {"reference": f"Patient/{version.patients[1]}"}} if version.patients[1:] else {}
    told = {"status": ("completed", "amended")[version.content % 2], "language": ("zh", "en")[version.content % 2]}
    within = {"encounter": {"reference": f"Encounter/{IDS['Encounter'][version.content % 2]}"}}
    item = {
        "item": [{"linkId": str(version.content), "answer": [{"valueCoding": coding} for coding in _code(version)["coding"]]}]
    }
    return {"questionnaire": url, **told, **within, **item, **_subject(version), **others, **_dated("authored", version)}


BUILT: dict[str, Callable[[Written, Version, Any], Resource]] = {
    "Observation": _observation,
    "Condition": _condition,
    "Encounter": _encounter,
    "Appointment": _appointment,
    "ServiceRequest": _service_request,
    "Device": _device,
    "Composition": _composition,
    "ValueSet": _value_set,
    "StructureDefinition": _structure,
    "Questionnaire": _questionnaire,
    "QuestionnaireResponse": _questionnaire_response,
    "List": _list,
    "Practitioner": _practitioner,
    "Patient": _patient,
    "Consent": _consent,
}
CLINICAL = (
    "Observation",
    "Condition",
    "Encounter",
    "Appointment",
    "ServiceRequest",
    "Device",
    "Composition",
    "ValueSet",
    "StructureDefinition",
    "Questionnaire",
    "QuestionnaireResponse",
    "List",
)


def _tied(kind: str, wanted: int = 2) -> tuple[str, ...]:
    """Ids whose tie-breaks are the same, three by three, so that order and page ends meet the hardest case."""
    stamps: dict[int, list[str]] = {}
    hashed = identity_hash(Secrets(MASTER))
    found: list[str] = []
    for number in range(1_000_000):
        group = stamps.setdefault(sort_stamp(None, hashed(f"{kind}/{number}")), [])
        group.append(str(number))
        if len(group) == 3:
            found += group
        if len(found) == 3 * wanted:
            break
    return tuple(found)


IDS = {kind: _tied(kind) for kind in (*CLINICAL, "Practitioner", "Consent")}

# --- strategies ----------------------------------------------------------------------------------------------------------

_RULES = st.builds(
    Rule,
    st.sampled_from(("permit", "deny")),
    actor=st.sampled_from((None, None, "Practitioner/li", "Organization/a", "Organization/b")),
    purpose=st.sampled_from((None, None, "TREAT", "HRESCH")),
    label=st.sampled_from((None, None, "HIV", "R", "V")),
    period=st.sampled_from((None, None, "past", "present")),
)
_LABELS = st.sampled_from((None, None, None, "HIV", "R", "V"))
_CONTENT = st.integers(0, 11)
_NARROW = ("Observation", "Encounter", "Patient")


@st.composite
def _records(draw: st.DrawFn, patients: tuple[str, ...]) -> list[Written]:
    slots = draw(
        st.lists(
            st.sampled_from([(kind, known) for kind in CLINICAL for known in IDS[kind]]), min_size=4, max_size=14, unique=True
        )
    )
    slots = list(
        dict.fromkeys(
            (*((kind, IDS[kind][0]) for kind in ("Observation", "Composition", "ValueSet", "StructureDefinition")), *slots)
        )
    )
    subjects = st.lists(st.sampled_from(patients), max_size=2, unique=True).map(tuple)
    return [
        Written(kind, known, draw(st.sampled_from(HOSPITALS)), draw(_versions(st.builds(Version, subjects, _LABELS, _CONTENT))))
        for kind, known in slots
    ]


@st.composite
def _versions(draw: st.DrawFn, version: st.SearchStrategy[Version]) -> tuple[Version, ...]:
    """One to three versions, each unlike the one before it; the last may be a deletion."""
    drawn = draw(st.lists(version, min_size=1, max_size=2))
    made = [replace(one, content=one.content + 12 * number) for number, one in enumerate(drawn)]
    return (*made, replace(made[-1], deleted=True)) if draw(st.integers(0, 4)) == 0 else tuple(made)


@st.composite
def _consents(draw: st.DrawFn, patients: tuple[str, ...]) -> list[Written]:
    made = []
    for known in IDS["Consent"][: draw(st.integers(0, 5))]:
        subject = draw(st.sampled_from(patients))
        by = draw(st.sampled_from((keeper(subject), keeper(subject), *HOSPITALS, f"patient/{subject}")))
        first = Version((subject,), draw(st.sampled_from((None, None, "R", "V"))))
        versions = (first, replace(first, deleted=True)) if draw(st.integers(0, 4)) == 0 else (first,)
        made.append(Written("Consent", known, by, versions, (draw(_RULES),)))
    return made


def _directory(draw: st.DrawFn) -> list[Written]:
    version = st.builds(Version, st.just(()), st.none(), _CONTENT)
    return [
        Written("Practitioner", known, draw(st.sampled_from(HOSPITALS)), draw(_versions(version)))
        for known in IDS["Practitioner"][:3]
    ]


_DOCTORS = st.builds(
    lambda organization, purpose, narrow: Onlooker(
        "practitioner",
        (("practitioner", "li"), ("organization", organization), ("purpose", purpose)),
        _NARROW if narrow else None,
    ),
    st.sampled_from((*HOSPITALS, "c")),
    st.sampled_from(("TREAT", "TREAT", "HRESCH")),
    st.integers(0, 4).map(lambda drawn: drawn == 0),
)
_SYSTEMS = tuple(Onlooker("system", (("organization", one),)) for one in (*HOSPITALS, "c"))
_OTHERS = (*_SYSTEMS, Onlooker("admin"))
_SERVICE = Onlooker("system", (("organization", TELEMEDICINE),))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A region of two hospitals and two or three persons, with somebody who looks at it."""
    homes = draw(st.lists(st.sampled_from((("a",), ("b",), ("a", "b"), ("b", "a"))), min_size=2, max_size=3))
    persons = tuple(tuple(f"p{number}-{home}" for home in kept) for number, kept in enumerate(homes))
    patients = tuple(chain.from_iterable(persons))
    label = st.sampled_from((None, None, None, "R"))
    people = [Written("Patient", one, keeper(one), (Version((one,), draw(label), draw(_CONTENT)),)) for one in patients]
    rest = [*draw(_records(patients)), *draw(_consents(patients)), *_directory(draw)]
    own = st.sampled_from(patients).map(lambda one: Onlooker("patient", (("patient", one),)))
    onlooker = draw(st.one_of(_DOCTORS, _DOCTORS, _DOCTORS, own, st.sampled_from(_OTHERS), st.just(_SERVICE)))
    policy = draw(
        st.sampled_from(("permit-treatment", "permit-except-sensitive", "permit-except-sensitive", "break-glass-only", "deny"))
    )
    return World(policy, persons, (*people, *draw(st.permutations(rest))), onlooker)
