"""Who is who, and what follows for who may see what (DESIGN 4, Persons; issue 2, section 6), over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD
from tests.gate.building import (
    Resource,
    consent,
    found,
    id_card,
    keep,
    labelled,
    observation,
    patient,
    provision,
    status,
    transaction,
)
from tests.serving import Door

CARD = id_card(1)
LIFE = {"Observation/of-a", "Observation/of-b"}


async def two_hospitals(door: Door, other: Resource) -> None:
    """Hospitals a and b each keep a Patient, pa and pb, and one observation."""
    await keep(door.system("a"), patient("pa", CARD), observation("of-a", "pa"))
    await keep(door.system("b"), other, observation("of-b", "pb"))


async def test_hl7_chinas_name_of_the_id_card_is_the_same_card(door: Door) -> None:
    """DESIGN 5: HL7 China's core-patient profile of 2024 names it by an OID of its own; it links, and either name finds both"""
    china = "urn:oid:2.16.840.1.113883.2.23.1.19.1"
    other = patient("pb", CARD)
    other["identifier"][0]["system"] = china
    await two_hospitals(door, other)
    assert await life(door.doctor("d", "b"), "pa") == LIFE
    for system in (china, RESIDENT_ID_CARD):
        assert await found(door.doctor("d", "b"), f"/Patient?identifier={system}|{CARD}") == {"Patient/pa", "Patient/pb"}
    assert (await door.doctor("d", "b").get("/Patient/pb")).json()["identifier"][0]["system"] == china


async def test_the_check_character_of_an_id_card_is_x_however_it_is_typed(door: Door) -> None:
    """GB 11643: what a doctor types small links, and is found, by system or alone; If-None-Exist finds it, too"""
    card = next(one for one in map(id_card, range(100)) if one.endswith("X"))
    small = f"{card[:-1]}x"
    await keep(door.system("a"), patient("pa", card), observation("of-a", "pa"))
    await keep(door.system("b"), patient("pb", small), observation("of-b", "pb"))
    doctor = door.doctor("d", "b")
    assert await life(doctor, "pa") == LIFE
    for asked in (card, small, f"{RESIDENT_ID_CARD}|{card}", f"{RESIDENT_ID_CARD}|{small}"):
        assert await found(doctor, f"/Patient?identifier={asked}") == {"Patient/pa", "Patient/pb"}, asked
    headers = {"If-None-Exist": f"identifier={RESIDENT_ID_CARD}|{small}"}
    assert (await door.system("a").post("/Patient", json={"resourceType": "Patient"}, headers=headers)).status_code == 200
    assert (await door.system("b").get("/Patient/pb")).json()["identifier"][0]["value"] == small


async def life(client: httpx.AsyncClient, known: str) -> set[str]:
    return await found(client, f"/Observation?patient={known}")


async def persons(door: Door) -> list[dict[str, Any]]:
    """What is known of persons beyond their Patients, without revisions; who has no rules and no link is nothing special."""
    stored = await door.exchange.database["persons"].find({}, {"rev": 0}, sort={"_id": 1}).to_list()
    return [one for one in stored if one["rules"] or len(one["patients"]) > 1]


async def link(door: Door, known: str, other: str) -> int:
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "other", "valueString": f"Patient/{other}"}]}
    return (await door.admin().post(f"/Patient/{known}/$link", json=parameters)).status_code


async def unlink(door: Door, known: str) -> int:
    return (await door.admin().post(f"/Patient/{known}/$unlink")).status_code


async def reviews(door: Door) -> list[set[str]]:
    answer = (await door.admin().get("/Patient/$reviews")).json().get("parameter", [])
    return [{part["valueReference"]["reference"] for part in one["part"] if "valueReference" in part} for one in answer]


async def test_one_card_name_and_birth_date_make_one_person(door: Door) -> None:
    """A search by either Patient finds the whole life, whichever hospital wrote it; so does $everything."""
    await two_hospitals(door, patient("pb", CARD))
    doctor = door.doctor("li", "c")
    assert await life(doctor, "pa") == await life(doctor, "pb") == LIFE
    assert await found(doctor, "/Patient/pa/$everything") == LIFE | {"Patient/pa", "Patient/pb"}
    assert await life(door.patient("pa"), "pb") == LIFE
    assert await status(door.patient("pb"), "/Observation/of-a") == 200
    assert await reviews(door) == []


async def test_two_patients_of_one_transaction_are_linked_too(door: Door) -> None:
    """http.html#trules: what a transaction writes stands as a whole, so that its parts meet each other."""
    bundle = transaction(patient("pa", CARD), patient("pb", CARD), observation("of-a", "pa"), observation("of-b", "pb"))
    assert (await door.system("a").post("/", json=bundle)).status_code == 200
    assert await life(door.doctor("li", "c"), "pa") == LIFE


@pytest.mark.parametrize(
    "other",
    [
        patient("pb", CARD, born="1980-02-04"),
        patient("pb", CARD, name="Li Si"),
        patient("pb", CARD) | {"name": []},
        {key: value for key, value in patient("pb", CARD).items() if key != "birthDate"},
    ],
    ids=["birth date", "name", "no name", "no birth date"],
)
async def test_a_conflict_goes_to_review_and_links_nothing(door: Door, other: Resource) -> None:
    """Never a silent merge: an administrator sees the doubt, and settles it."""
    await two_hospitals(door, {key: value for key, value in other.items() if value})
    doctor = door.doctor("li", "c")
    assert (await life(doctor, "pa"), await life(doctor, "pb")) == ({"Observation/of-a"}, {"Observation/of-b"})
    assert await persons(door) == []
    assert await reviews(door) == [{"Patient/pa", "Patient/pb"}]
    assert [await status(client, "/Patient/$reviews") for client in (doctor, door.system("a"), door.patient("pa"))] == [403] * 3
    assert await link(door, "pa", "pb") == 204
    assert await life(doctor, "pb") == LIFE
    assert await reviews(door) == []


async def test_a_wrong_check_digit_links_nothing(door: Door) -> None:
    """GB 11643: a number that cannot be is no evidence."""
    wrong = CARD[:-1] + ("0" if CARD[-1] != "0" else "1")
    await keep(door.system("a"), patient("pa", wrong))
    await keep(door.system("b"), patient("pb", wrong))
    assert (await persons(door), await reviews(door)) == ([], [])


async def test_a_consent_on_one_governs_both(door: Door) -> None:
    """A person's consent is the person's; before and after the link, and whoever kept it."""
    deny, doctor = provision("deny"), door.doctor("li", "c")
    await keep(door.system("a"), patient("pa", CARD), observation("of-a", "pa"), consent("c", "pa", deny))
    assert await status(doctor, "/Observation/of-a") == 404
    await keep(door.system("b"), patient("pb", CARD), observation("of-b", "pb"))
    assert [await status(doctor, f"/Observation/of-{one}") for one in "ab"] == [404, 404]
    assert await unlink(door, "pb") == 204
    assert [await status(doctor, f"/Observation/of-{one}") for one in "ab"] == [404, 200]
    assert await link(door, "pb", "pa") == 204
    assert [await status(doctor, f"/Observation/of-{one}") for one in "ab"] == [404, 404]
    await keep(door.system("a"), consent("c", "pa", deny, status="inactive"))
    assert [await status(doctor, f"/Observation/of-{one}") for one in "ab"] == [200, 200]


async def test_the_other_hospitals_consent_on_ones_own_patient_has_no_effect(door: Door) -> None:
    """Linked or not: a hospital speaks for the Patient that it keeps."""
    await two_hospitals(door, patient("pb", CARD))
    await keep(door.system("b"), consent("c", "pa", provision("deny")))
    assert await life(door.doctor("li", "c"), "pa") == LIFE


@pytest.mark.parametrize("order", [1, -1])
async def test_a_permit_withdrawn_while_its_person_is_linked_is_over(doors: tuple[Door, Door], order: int) -> None:
    """DESIGN 4: rules go with the person document that stands, whichever held them before; in every process"""
    keeper = doors[0].system("b")
    permit, label = consent("c", "pb", provision("permit", labels=("V",))), labelled("V")
    await keep(doors[0].system("a"), patient("pa", CARD))
    await keep(keeper, patient("pb"), observation("secret", "pb", **label), permit)
    doctors = [door.doctor("li", "c") for door in doors]
    assert [await status(doctor, "/Observation/secret") for doctor in doctors] == [200, 200]
    bundle = transaction(*[permit | {"status": "inactive"}, patient("pb", CARD)][::order])
    assert (await keeper.post("/", json=bundle)).status_code == 200
    assert [await status(doctor, "/Observation/secret") for doctor in doctors] == [404, 404]


@pytest.mark.parametrize("parted", ["pa", "pb"])
async def test_link_and_unlink_undo_exactly(door: Door, parted: str) -> None:
    """One document changes; from the next request on; and undoing restores what was, consents included."""
    await two_hospitals(door, patient("pb", name="Li Si"))
    await keep(door.system("b"), consent("c", "pb", provision("deny", actors=("Practitioner/wang",))))
    before, doctor = await persons(door), door.doctor("li", "c")
    assert await life(doctor, "pa") == {"Observation/of-a"}
    assert await link(door, "pa", "pb") == 204
    assert await life(doctor, "pa") == LIFE
    assert await life(door.doctor("wang", "c"), "pa") == set()
    assert await unlink(door, parted) == 204
    assert await persons(door) == before
    assert (await life(doctor, "pa"), await life(doctor, "pb")) == ({"Observation/of-a"}, {"Observation/of-b"})
    assert await life(door.doctor("wang", "c"), "pa") == {"Observation/of-a"}
    assert await status(door.patient("pa"), "/Observation/of-b") == 404


async def test_linking_is_for_administrators_and_for_known_patients(door: Door) -> None:
    """403 whoever else asks, 404 for nobody, 409 rather than to merge two persons."""
    await two_hospitals(door, patient("pb", CARD))
    await keep(door.system("c"), patient("pc"))
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "other", "valueString": "Patient/pb"}]}
    for client in (door.system("a"), door.doctor("li", "a"), door.patient("pa")):
        assert (await client.post("/Patient/pa/$link", json=parameters)).status_code == 403
        assert (await client.post("/Patient/pa/$unlink")).status_code == 403
    assert await link(door, "pa", "nobody") == await unlink(door, "nobody") == 404
    assert await link(door, "pc", "pa") == 409
    assert await life(door.doctor("li", "c"), "pa") == LIFE


async def test_whoever_writes_at_the_same_moment_is_linked(door: Door) -> None:
    """Both hospitals lock what identifies the person, so that one of them always sees the other."""
    hospitals, pairs = {name: door.system(name) for name in "ab"}, 40
    writes = [
        keep(client, patient(f"p{name}-{number}", id_card(number), name=f"Person {number}"))
        for number in range(pairs)
        for name, client in hospitals.items()
    ]
    await asyncio.gather(*writes)
    stored = await persons(door)
    assert sorted(len(one["patients"]) for one in stored) == [2] * pairs
    identity = door.exchange.record.codec.identity
    expected = {frozenset(identity(f"Patient/p{name}-{number}") for name in "ab") for number in range(pairs)}
    assert {frozenset(one["patients"]) for one in stored} == expected


async def test_what_an_administrator_unlinked_stays_apart(door: Door) -> None:
    """The next message about either Patient does not link them again; a $link does."""
    await two_hospitals(door, patient("pb", CARD))
    admin, b = door.admin(), door.system("b")
    assert (await admin.post("/Patient/pb/$unlink")).status_code == 204
    assert await persons(door) == []
    await keep(b, patient("pb", CARD) | {"gender": "female"})
    assert await persons(door) == []
    other = {"resourceType": "Parameters", "parameter": [{"name": "other", "valueString": "Patient/pb"}]}
    assert (await admin.post("/Patient/pa/$link", json=other)).status_code == 204
    assert [len(one["patients"]) for one in await persons(door)] == [2]
    await keep(b, patient("pb", CARD))
    assert [len(one["patients"]) for one in await persons(door)] == [2]
