"""Everything that an onlooker may ask: the ways to read and to write that non-interference is held for (DESIGN 4).

A new way to read or write joins here. Left out are the declared exceptions: a PUT without If-Match to an id that is in use,
and Patients with identity numbers.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from random import Random
from urllib.parse import urlencode

from tests.gate.building import HIV, ICD_10, Resource, observation, put
from tests.gate.oracle import visible
from tests.gate.stores import ACCESS, BASE, GRAPH, PORTAL, SESSION, SLOTS, Ask
from tests.gate.worlds import (
    BUILT,
    CLINICAL,
    HOSPITALS,
    IDS,
    NUMBERS,
    PROFILES,
    QUESTIONS,
    VALUE_SETS,
    World,
    Written,
    resource_of,
)

# Criteria on other resources: what is hidden half way must not tell. IDS are those that resources refer to.
LINKED = (
    "Observation?patient.name=person&_count=2&_total=accurate",
    "Observation?subject:Patient.gender=female&_summary=count",
    "Observation?encounter.class=AMB&_count=1&_total=accurate",
    f"Observation?encounter.reason-code={HIV}&_count=2",
    f"Observation?encounter.appointment.reason-code={HIV}&_sort=-code",
    f"Observation?encounter.identifier={NUMBERS}|1&_total=accurate",
    f"Observation?specimen.identifier={NUMBERS}|1&_count=1&_total=accurate",
    f"Observation?specimen.subject:Patient._has:Condition:patient:code={HIV}&_count=2",
    f"Encounter?_has:Observation:encounter:specimen.identifier={NUMBERS}|2&_total=accurate",
    f"Encounter?_has:Observation:encounter:code={HIV}&_total=accurate",
    f"Encounter?patient._has:Condition:patient:code={HIV}",
    f"Patient?_has:Observation:patient:code={HIV}&_count=1&_total=accurate",
    f"Patient?_has:Observation:patient:encounter.reason-code={HIV}",
    f"Patient?_has:Encounter:patient:_has:Observation:encounter:code={HIV}",
    f"Practitioner?_has:Observation:performer:code={HIV}&_summary=count",
    "Practitioner?_has:Observation:performer:patient.gender=male",
    f"Practitioner?_has:Observation:performer:encounter.identifier={NUMBERS}|0",
    f"Appointment?_has:Encounter:appointment:reason-code={HIV}&_count=1",
    f"Condition?patient.identifier={NUMBERS}|1",
    *(f"Observation?encounter:{way}={one}&_count=2&_total=accurate" for way in ("above", "below") for one in IDS["Encounter"]),
    f"Patient?_has:Encounter:patient:part-of:below={IDS['Encounter'][0]}&_summary=count",
    *(f"Observation?_list={one}&_count=1&_total=accurate" for one in IDS["List"][:3]),
    f"Observation?code:text=x&_has:List:item:identifier={NUMBERS}|2",
    f"Device?_has:List:item:_id={IDS['List'][0]}",
    "Observation?_include:iterate=Observation:encounter&_include:iterate=Encounter:appointment&_include=*&_count=2",
    "Encounter?_revinclude=*&_count=1",
    "Patient?_revinclude=*&_revinclude:iterate=*&_count=1",
    "Practitioner?_revinclude=*",
    "Observation?_content=b20&_count=2&_total=accurate",
    "Condition?_content=3",
    "Patient?name:contains=erson&_sort=-name&_count=1",
    "?_type=Observation,Encounter,List&_count=2&_total=accurate",
    "?_type=Patient,Appointment&_sort=-_lastUpdated&_count=1&_revinclude=*",
    "?_type=Observation,Condition&_sort=code,-_lastUpdated&_count=2&_total=accurate",
    "?_type=Observation,Encounter&_sort=-date&_count=1",
    f"?_type=Observation,Condition&encounter.reason-code={HIV}&_count=2&_total=accurate",
    f"?_type=Observation,Encounter&_has:List:item:identifier={NUMBERS}|1&_summary=count",
    f"?_type=Observation,Device&_list={IDS['List'][1]}&_count=1",
    "Encounter?_summary=true&_include=Encounter:patient&_count=2",
    "Observation?_elements=code,subject&_include=Observation:encounter&_count=2",
    f"Encounter/{IDS['Encounter'][0]}/Observation?_count=1&_total=accurate",
    f"Encounter/{IDS['Encounter'][1]}/*?_count=2",
    f"Practitioner/{IDS['Practitioner'][0]}/*?_summary=count",
)
# By the custom parameters that stores.furnish gives the region.
CUSTOM = (
    "Observation?worth=gt3&_count=2&_total=accurate",
    "Observation?worth:missing=true&_summary=count",
    "Observation?_sort=-worth&_count=2",
    f"Observation?sick-of={HIV}&_count=1&_total=accurate",
    f"Condition?sick-of:not={HIV}&_summary=count",
    "Encounter?also:missing=false&_count=1&_total=accurate",
    "Encounter?also.name=person&_count=1",
    "Encounter?also:Patient.called=person&_total=accurate&_include=Encounter:also&_count=1",
    "Patient?called=person&_sort=-called&_count=1&_total=accurate",
    f"Patient?_has:Encounter:also:reason-code={HIV}&_total=accurate",
    "Patient?_revinclude=Encounter:also&_revinclude=Device:also&_count=1",
    "Observation?subject:Patient.called=person&_summary=count",
    f"?_type=Observation,Condition&sick-of={HIV}&_count=1&_total=accurate",
    f"Observation?sick-worth={HIV}$gt2&_count=1&_total=accurate",
    f"Observation?sick-worth={HIV}$ge0,J10$ge0,I10$ge0&_sort=-worth&_count=2",
    f"Patient?_has:Observation:patient:sick-worth={HIV}$gt1&_total=accurate",
    "Patient?known-as=person$p&_count=1&_total=accurate",
    "Encounter?patient.known-as=person$person&_summary=count",
)
# By references that are urls of what is here (references.html#canonical).
CANONICAL = (
    "QuestionnaireResponse?questionnaire.version=1&_count=1&_total=accurate",
    f"QuestionnaireResponse?questionnaire:Questionnaire.code={HIV}&_summary=count",
    f"QuestionnaireResponse?questionnaire={QUESTIONS[0]}&_count=1&_total=accurate",
    f"QuestionnaireResponse?questionnaire:below={QUESTIONS[1]}|1&_count=1",
    "Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed&_count=1&_total=accurate",
    f"Questionnaire?_has:QuestionnaireResponse:questionnaire:encounter.reason-code={HIV}&_summary=count",
    "Questionnaire?_has:QuestionnaireResponse:questionnaire:patient.gender=male",
    f"Questionnaire?url={QUESTIONS[0]}|1&_total=accurate",
    "Patient?_has:QuestionnaireResponse:subject:questionnaire.version=0&_count=1&_total=accurate",
    f"Encounter?_has:QuestionnaireResponse:encounter:questionnaire.code={HIV}&_count=1",
    "QuestionnaireResponse?_include=QuestionnaireResponse:questionnaire&_count=1",
    "QuestionnaireResponse?_include=*&_include:iterate=*&_count=2",
    "Questionnaire?_revinclude=QuestionnaireResponse:questionnaire&_count=1",
    "Questionnaire?_revinclude=*&_include:iterate=QuestionnaireResponse:subject&_count=1",
    "?_type=Questionnaire,QuestionnaireResponse&_include=*&_revinclude=*&_count=2&_total=accurate",
    "?_type=Observation,QuestionnaireResponse&encounter.class=AMB&_count=1&_total=accurate",
)
SEARCHES = (
    *BUILT,
    *(f"{kind}?{rest}" for kind in BUILT for rest in ("_count=1", "_summary=count", "_sort=-_lastUpdated&_count=2")),
    "Observation?_sort=date&_count=2",
    "Observation?_sort=code,-date&_count=2",
    "Observation?_sort=-code&_count=1&_total=accurate",
    "Observation?_lastUpdated=gt2001-01-01&_sort=_lastUpdated&_count=3",
    f"Observation?code={HIV}&_total=accurate&_count=1",
    f"Observation?code:not={HIV}&_summary=count",
    *(f"{kind}?code={ICD_10}|{code}&_summary=count" for kind in ("Observation", "Condition") for code in (HIV, "J10")),
    "Observation?status=final&_count=1&_total=accurate",
    "Patient?gender=female&_summary=count",
    f"Observation?identifier={NUMBERS}|1,{NUMBERS}|2&_count=2",
    "Observation?subject:missing=true",
    "Observation?date=ge2020-01-02&_count=2&_include=Observation:subject&_include=Observation:encounter&_total=accurate",
    "Observation?_include=*&_count=2",
    f"Condition?code={HIV}&_sort=-onset-date",
    "Observation?date=ap2020-01-02&_count=1&_total=accurate",
    "Encounter?_has:Observation:encounter:date=ap2020-01&_sort=-date&_count=2",
    f"Condition?code:in={VALUE_SETS[0]}&_total=accurate",
    f"Observation?code:not-in={VALUE_SETS[1]}&_summary=count",
    "Patient?_revinclude=Observation:subject&_revinclude=Encounter:subject&_revinclude=Appointment:patient&_count=1",
    "Patient?name=person&_sort=birthdate,gender&_count=1&_total=accurate",
    "Encounter?_revinclude=Observation:encounter&_include=Encounter:appointment&_count=2",
    "Appointment?_include=Appointment:patient&_count=2",
    "Device?_include=Device:patient",
    "Practitioner?_revinclude=Observation:performer&_count=2",
    "Consent?_include=Consent:patient",
    *LINKED,
    *CUSTOM,
    *CANONICAL,
    "Observation?encounter:missing=false&specimen:missing=true&_count=2&_total=accurate",
    f"Observation?encounter={BASE}/Encounter/{IDS['Encounter'][0]}&_total=accurate&_count=1",
    f"Encounter/{IDS['Encounter'][0]}/QuestionnaireResponse?questionnaire.version=1&_total=accurate",
    f"?_id={IDS['Observation'][0]},{IDS['Encounter'][0]}&_total=accurate",
)
ROUNDS = f"{BASE.removesuffix('/fhir')}/telemedicine/rounds"
OPERATIONS = (
    "Patient/{}/$everything",
    "Patient/{}/$everything?_count=2",
    "Patient/{}/$everything?_type=Practitioner,Observation&start=2020-01-02&_since=2001-01-01",
    f"Observation/$lastn?patient={{}}&code={HIV},J10,I10&max=2",
    f"Observation/$stats?subject=Patient/{{}}&system={ICD_10}&code={HIV}&code=J10&statistic=count,total-count,median",
)
TERMINOLOGY = tuple(
    f"ValueSet/{path}"
    for url in VALUE_SETS
    for path in (f"$expand?url={url}", f"$validate-code?url={url}&system={ICD_10}&code=1")
)
PARAMETERS: Resource = {"resourceType": "Parameters"}
LABEL: Resource = {"system": "urn:test:tags", "code": "checked"}
FULL = (("Prefer", "return=representation"),)
KNOWN_ALREADY = (
    (("If-None-Match", 'W/"1"'),),
    (("If-None-Match", "*"),),
    (("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),),
)
OF_PATIENT = (
    "Observation?patient={}&_count=1",
    "Observation?subject=Patient/{}&_sort=-date&_count=2&_total=accurate",
    "Condition?patient={}&_total=accurate&_count=1",
    f"Observation?patient={{}}&code={ICD_10}|{HIV}&date=ge2001&_sort=-date&_count=1&_total=accurate",
    f"Patient?_id={{}}&_has:Condition:patient:code={ICD_10}|{HIV}",
    "Encounter?patient={}&_include=*&_revinclude=Observation:encounter",
    "Appointment?patient={}&_summary=count",
    "Device?patient={}",
    "Consent?patient={}&_total=accurate",
    "Patient?_id={}&_revinclude=Condition:subject",
    f"Observation?patient={{}}&encounter.reason-code={HIV}&_total=accurate",
    f"Observation?patient={{}}&_has:List:item:identifier={NUMBERS}|1",
    f"Patient?_id={{}}&_has:Observation:patient:code={HIV}",
    "Encounter?patient={}&_has:Observation:encounter:performer.name=doctor&_summary=count",
    "Patient/{}/Observation?_count=1&_total=accurate",
    "Patient/{}/*?_count=2",
    "Patient/{}/*?_sort=-_lastUpdated&_summary=text",
    f"Patient/{{}}/Condition?code={HIV}&_summary=count",
    "Patient/{}/Patient",
    f"Patient/{{}}/Patient?_has:Observation:patient:code={HIV}",
    f"?_type=Observation,Condition&patient={{}}&encounter.reason-code={HIV}&_sort=code&_count=1",
    "Encounter?also={}&_count=1&_total=accurate",
    f"Observation?subject={BASE}/Patient/{{}}&_count=1&_total=accurate",
    "QuestionnaireResponse?patient={}&questionnaire.version=1&_total=accurate",
    f"QuestionnaireResponse?subject=Patient/{{}}&questionnaire.code={HIV}&_include=QuestionnaireResponse:questionnaire",
    f"Patient?_id={{}}&_has:QuestionnaireResponse:subject:questionnaire.code={HIV}&_revinclude=QuestionnaireResponse:source",
    f"Observation?patient={{}}&sick-of={HIV}&worth=lt9&_total=accurate",
)


def reads(world: World, moment: str) -> Iterator[Ask]:
    """read, histories (also as of a moment) and `$meta` of everything that is, and of what is not; what persons are asked for;
    vread, operations and histories in Bundles."""
    names = [*(one.name for one in world.written), *(f"{kind}/nothing" for kind in BUILT)]
    yield from (Ask("GET", f"/{name}{rest}") for name, rest in product(names, ("", "/_history", "/$meta", "?_summary=true")))
    yield from (Ask("POST", f"/{name}/$validate?mode=delete", PARAMETERS) for name in names)
    yield from (Ask("HEAD", f"/{name}", headers=one) for name, one in product(names, KNOWN_ALREADY))
    yield from (Ask("GET", f"/{path.format(one)}") for path, one in product(OPERATIONS, (*world.patients, "nobody")))
    visits = product((*IDS["Encounter"], "nothing"), ("", "?_count=1", "?_type=Observation,Patient,Condition"))
    yield from (Ask("GET", f"/Encounter/{one}/$everything{rest}") for one, rest in visits)
    documents = product((*IDS["Composition"], "nothing"), ("", f"?graph={GRAPH}"))
    yield from (Ask("GET", f"/Composition/{one}/$document{rest}") for one, rest in documents)
    yield from (Ask("GET", f"/{place}$meta") for place in ("", *(f"{kind}/" for kind in BUILT)))
    yield from (Ask("GET", f"/{path}") for path in TERMINOLOGY)
    yield from (Ask("GET", f"/ValueSet/{one}/$expand") for one in (*IDS["ValueSet"], "nothing"))
    yield from (Ask("POST", "/Observation/$validate", one) for one in _claiming(world))
    yield from (Ask("GET", f"/{kind}/_history?_count=2") for kind in BUILT)
    yield Ask("GET", "/SearchParameter/$reindex")
    yield from (Ask("GET", f"/_history{rest}") for rest in ("", "?_count=3", "?_since=2001-01-01&_count=7"))
    parts = product(("", "Condition/", "Encounter/"), ("_summary=true", "_summary=text&_at=ge2001&_at=lt2999"))
    yield from (Ask("GET", f"/{one}_history?{rest}&_count=3") for one, rest in parts)
    yield from (Ask("GET", f"/{one}_history?_at={moment}&_count=3") for one in ("", "Condition/", "Encounter/"))
    yield from (Ask("GET", f"/{one.name}/_history?{rest}") for one in world.written for rest in ("_count=1", f"_at={moment}"))
    yield _batch("batch", (f"{name}/_history/{version}" for name, version in product(names, (1, 2, 3))))
    operations = [path.format(one) for path, one in product(OPERATIONS, world.patients)]
    yield _batch("batch", [*operations, *TERMINOLOGY, *(f"{one.name}/$meta" for one in world.written)])
    yield _batch("transaction", (f"{place}_history?_count=2" for place in ("", "Observation/", *(f"{one}/" for one in names))))


def portal(world: World) -> Iterator[Ask]:
    """What a patient's app asks: lists through all pages, and reports by the ids of whatever there is."""
    if world.onlooker.kind != "patient":
        return
    lists = [f"/{kind}?count={count}" for kind in ("timeline", "consents", "appointments") for count in (1, 3, 100)]
    lists += [f"/timeline?hospital={one}&count=2" for one in HOSPITALS]
    reports = [f"/reports/{one.id}" for one in world.written]
    headers = (("Authorization", f"Bearer {SESSION}.{ACCESS}"),)
    yield from (Ask("GET", f"{PORTAL}{path}", headers=headers) for path in (*lists, *reports))


def searches(world: World, dice: Random, number: int) -> Iterator[Ask]:
    """So many of the searches: by GET through all pages, some by POST, others in a batch."""
    every = [*SEARCHES, *(query.format(one) for query, one in product(OF_PATIENT, world.patients))]
    queries = dice.sample(every, number)
    yield from (Ask("GET", f"/{query}") for query in queries)
    inside = (f"Patient/{one}/{kind}?_count=2" for one, kind in product(world.patients, ("*", "QuestionnaireResponse")))
    for place, _, form in (query.partition("?") for query in (*queries[::5], *inside)):
        yield Ask("POST", f"/{place}/_search" if place else "/_search", form=form)
    yield _batch("batch", dice.sample(every, number))
    yield _batch("transaction", dice.sample(every, number // 2))


def writes(world: World, dice: Random) -> Iterator[list[Ask]]:
    """Writes that could tell what is there, in groups whose order does not matter within.

    A deleted Consent is not written again: its rules would show what the other store never had.
    """
    able = [one for one in world.written if one.type != "Consent" or not one.versions[-1].deleted]
    some = dice.sample(able, min(len(able), 12))
    for version in (1, 2):
        yield [Ask("PUT", f"/{one.name}", _changed(world, one), headers=(("If-Match", f'W/"{version}"'),)) for one in some]
    yield [Ask("DELETE", f"/{one.name}", headers=(("If-Match", 'W/"7"'),)) for one in some]
    yield from _patches(world, some)
    yield [Ask("DELETE", f"/{one.name}") for one in some if not visible(world, one)]
    if world.onlooker.kind != "admin":  # who learns whether there is such a Patient, as with $link
        yield [Ask("POST", f"/Patient/{one}/$erase", PARAMETERS) for one in (*world.patients, "nobody")]
    for name in ("meta-add", "meta-delete"):
        given = {"name": "meta", "valueMeta": {"tag": [LABEL]}}
        yield [Ask("POST", f"/{one.name}/${name}", PARAMETERS | {"parameter": [given]}) for one in some]
    yield from ([Ask("POST", "/Observation", one)] for one in _claiming(world))
    yield from ([one] for one in (*_conditional_creates(world), *_conditional_references(world)))
    persisted = PARAMETERS | {"parameter": [{"name": "persist", "valueBoolean": True}]}
    yield from ([Ask("POST", f"/Composition/{one}/$document", persisted)] for one in IDS["Composition"])
    yield from ([one] for one in _conditional_writes(world, dice))
    yield from ([Ask("POST", "/", bundle(kind, *_mixed(world)))] for kind in ("transaction", "batch"))


def consultations(world: World) -> Iterator[list[Ask]]:
    """ITI-115 to 117 and a round: booking for a Patient who is hidden answers like booking for one who is not there."""
    yield [Ask("GET", f"/Appointment/$find?{urlencode({'start': '2001', 'end': '2101'})}")]
    slots = iter(SLOTS)
    for operation, patient in product(("hold", "book"), (*world.patients, "nobody")):
        yield [Ask("POST", f"/Appointment/${operation}", _arrangement(next(slots), patient))]
    yield from ([Ask("POST", "/Appointment/$book", _arrangement(known, world.patients[0]))] for known in IDS["Appointment"])
    yield from ([Ask("POST", f"/Appointment/{known}/$close", _opinion())] for known in IDS["Appointment"])
    yield [Ask("POST", ROUNDS, {})]


def arranged() -> Iterator[Ask]:
    """What has come of consultations: Appointments, and the Tasks that say why."""
    yield from (Ask("GET", f"/{kind}?_count=2&_total=accurate") for kind in ("Appointment", "Task"))
    yield Ask("GET", "/ServiceRequest?_revinclude=Task:focus&_count=2")


def _arrangement(appointment: str, patient: str) -> Resource:
    names = {"appointment-reference": f"Appointment/{appointment}", "patient-reference": f"Patient/{patient}"}
    given = [{"name": name, "valueReference": {"reference": one}} for name, one in names.items()]
    return {"resourceType": "Parameters", "parameter": given}


def _opinion() -> Resource:
    return {"resourceType": "Parameters", "parameter": [{"name": "opinion", "valueString": "x"}]}


def _patches(world: World, some: list[Written]) -> Iterator[list[Ask]]:
    """http.html#patch: both formats, with and without If-Match, alone, in a batch and in a transaction."""
    json_patch = (("Content-Type", "application/json-patch+json"),)
    fhirpath_patch = (("Content-Type", "application/fhir+json"),)
    for matching in ((), (("If-Match", 'W/"2"'),)):
        yield [Ask("PATCH", f"/{one.name}", _json_patch(one), headers=(*json_patch, *matching)) for one in some]
        yield [Ask("PATCH", f"/{one.name}", FHIRPATH_PATCH, headers=(*fhirpath_patch, *matching)) for one in some]
    entries = [{"resource": FHIRPATH_PATCH, "request": {"method": "PATCH", "url": one.name}} for one in some]
    yield [Ask("POST", "/", bundle("batch", *entries), headers=FULL)]
    yield from ([Ask("POST", "/", bundle("transaction", entry), headers=FULL)] for entry in entries[:3])


def _json_patch(one: Written) -> list[Resource]:
    """A difference; a Patient loses the number that identity matching looks at."""
    return [{"op": "add", "path": "/implicitRules", "value": "urn:x"}] + (
        [{"op": "remove", "path": "/identifier"}] if one.type == "Patient" else []
    )


FHIRPATH_PATCH: Resource = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "implicitRules"},
                {"name": "value", "valueUri": "urn:y"},
            ],
        }
    ],
}


def _changed(world: World, one: Written) -> Resource:
    """The first version with a difference; a Patient without the number that identity matching looks at."""
    resource = {**resource_of(one, 0, world.persons), "language": "zh"}
    return {name: value for name, value in resource.items() if (one.type, name) != ("Patient", "identifier")}


def _conditional_creates(world: World) -> Iterator[Ask]:
    """http.html#ccreate, alone and in a transaction, by numbers that many resources bear."""
    for number, kind in enumerate(("Observation", "Encounter", "Observation")):
        criteria, resource = urlencode({"identifier": f"{NUMBERS}|{number}"}), _new(world, kind)
        yield Ask("POST", f"/{kind}", resource, headers=(("If-None-Exist", criteria),))
        request = {"method": "POST", "url": kind, "ifNoneExist": criteria}
        yield Ask("POST", "/", bundle("transaction", {"resource": resource, "request": request}), headers=FULL)


def _conditional_writes(world: World, dice: Random) -> Iterator[Ask]:
    """http.html#cond-update, #patch, #delete: alone, in a batch and in a transaction, by numbers that many resources bear."""
    json_patch = (("Content-Type", "application/json-patch+json"),)
    for method, kind, number in product(("PUT", "PATCH", "DELETE"), ("Observation", "Encounter"), range(3)):
        url = f"{kind}?{urlencode({'identifier': f'{NUMBERS}|{number}'})}"
        sent = {"PUT": _new(world, kind), "PATCH": FHIRPATH_PATCH}.get(method)
        entry = ({"resource": sent} if sent else {}) | {"request": {"method": method, "url": url}}
        how = dice.choice(("alone", "batch", "transaction"))
        if how != "alone":
            yield Ask("POST", "/", bundle(how, entry), headers=FULL)
        elif method == "PATCH":
            yield Ask("PATCH", f"/{url}", [{"op": "add", "path": "/implicitRules", "value": "urn:z"}], headers=json_patch)
        else:
            yield Ask(method, f"/{url}", sent)


def _conditional_references(world: World) -> Iterator[Ask]:
    """http.html#trules: a reference by search must not tell what else there is."""
    for kind, number in product(("Practitioner", "Encounter", "Device"), range(2)):
        found = {"reference": f"{kind}?identifier={NUMBERS}|{number}"}
        resource = _new(world, "Observation") | {"extension": [{"url": "http://example.org/to", "valueReference": found}]}
        request = {"method": "POST", "url": "Observation"}
        yield Ask("POST", "/", bundle("transaction", {"resource": resource, "request": request}), headers=FULL)


def _mixed(world: World) -> Iterator[Resource]:
    """Writes of one's own beside reads of anything."""
    yield put(observation("own", world.patients[0]))
    yield from ({"request": {"method": "GET", "url": f"{kind}?_summary=count"}} for kind in CLINICAL)
    yield from ({"request": {"method": "GET", "url": one.name}} for one in world.written)


def _new(world: World, kind: str) -> Resource:
    """A new resource about the first Patient."""
    about = {"subject": {"reference": f"Patient/{world.patients[0]}"}}
    told = {
        "Observation": {"status": "final", "code": {"text": "x"}},
        "Encounter": {"status": "planned", "class": {"code": "AMB"}},
    }
    return {"resourceType": kind, **told[kind], **about}


def _claiming(world: World) -> Iterator[Resource]:
    """Observations that name profiles, which may be hidden, or about somebody and so define nothing."""
    return (_new(world, "Observation") | {"meta": {"profile": [one]}} for one in PROFILES)


def _batch(kind: str, urls: Iterable[str]) -> Ask:
    return Ask("POST", "/", bundle(kind, *({"request": {"method": "GET", "url": one}} for one in urls)))


def bundle(kind: str, *entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
