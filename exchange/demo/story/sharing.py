"""Institutions send what they know; a doctor elsewhere reads it."""

import sys
from collections import Counter

from tqdm import tqdm

from adapters import hospitals
from exchange.demo.residents import CLINIC, HOSPITAL_A, HOSPITAL_B, PEOPLE, known, residents
from exchange.demo.seed import push, shares
from exchange.demo.story.stage import DOCTOR_B, Resource, Stage, expect, found
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD


async def send(stage: Stage) -> None:
    """Three HIS clients send at once, over MLLP; each message is acknowledged AA, or the story ends here."""
    wanted, people = shares(), residents()
    settings = stage.up.exchange.settings
    with tqdm(total=sum(map(len, wanted.values())), unit=" messages", leave=False, disable=None, file=sys.stderr) as progress:
        await push(settings.mllp_host, stage.up.mllp_port, wanted, progress.update)
    for name, hospital in hospitals.load(settings.region).items():
        count = f"{len(wanted[name])} messages about {len(known(name, people))} people: all AA"
        stage.say(f"  {name:<11}{hospital.name}  {count}")
    stage.say(f"  {PEOPLE} people, from birth on; those known to several are one person, by ID card")


async def read_across(stage: Stage) -> None:
    """Dr B finds the heroine by her ID card, and reads what hospital A and the clinic wrote."""
    form = {"identifier": f"{RESIDENT_ID_CARD}|{stage.person.id_card}"}
    patients = found(await stage.ask(DOCTOR_B, "POST /Patient/_search", form=form, note="by ID card, in the body"))
    kept = {custodian(one): one["id"] for one in patients}
    expect("institutions that know her", {CLINIC, HOSPITAL_A, HOSPITAL_B}, set(kept))
    stage.patient = kept[HOSPITAL_A]
    stage.tell(f"{stage.person.name} ({stage.person.script}), born {stage.person.birth}")
    await _latest(stage)
    life = found(await stage.ask(DOCTOR_B, f"GET /Patient/{stage.patient}/$everything"))
    by = Counter(custodian(one) for one in life)
    expect("institutions whose resources are in her record", set(), set(kept) - by.keys())
    stage.tell(f"{len(life)} resources: " + ", ".join(f"{name} {by[name]}" for name in sorted(kept)))


async def _latest(stage: Stage) -> None:
    request = f"GET /Observation?patient=Patient/{stage.patient}&_sort=-date&_count=2"
    latest = found(await stage.ask(DOCTOR_B, request))
    expect("who wrote the latest results", {HOSPITAL_A}, {custodian(one) for one in latest})
    for one in latest:
        stage.tell(result(one))


def custodian(resource: Resource) -> str:
    """The institution that wrote a resource: its ids begin with it."""
    return str(resource["id"]).rpartition("-")[0]


def result(observation: Resource) -> str:
    """A laboratory result in a line."""
    value, flag = observation["valueQuantity"], observation["interpretation"][0]["coding"][0]["code"]
    measured = f"{observation['code']['text']} {value['value']} {value['unit']} {flag}"
    return f"{observation['effectiveDateTime'][:10]}  {measured}  ({custodian(observation)})"
