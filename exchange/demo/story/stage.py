"""Where the story is played: a running exchange, those who act, and requests that must come out as told."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx

from consent.caller import Kind
from exchange.demo.people import Person
from exchange.demo.residents import residents
from exchange.issuing import token_for
from exchange.serving import Served
from fhir_server.r4.dates import BEIJING, interval

HEROINE = 57
"""Number of the person that the story is about: known to all three institutions, with a sensitive diagnosis in one."""
_LONG_ID = re.compile(r"([0-9a-f]{6})[0-9a-f]{26}")
_WIDTH = 54

Resource = dict[str, Any]


class NotAsTold(Exception):
    """A step came out otherwise; the text says what was expected and what was seen."""


class Role(NamedTuple):
    """Somebody who acts: how the story calls them, and the claims of their token."""

    name: str
    kind: Kind
    claims: dict[str, str]


@dataclass(slots=True)
class Stage:
    """`patient` is the id of the heroine's Patient at hospital A; later steps find there what earlier ones left."""

    up: Served
    http: httpx.AsyncClient
    say: Callable[[str], None]
    person: Person = field(default_factory=lambda: residents()[HEROINE])
    patient: str = ""
    hidden: str = ""
    denial: Resource = field(default_factory=dict)
    appointment: Resource = field(default_factory=dict)

    @property
    def own(self) -> Role:
        """The heroine herself."""
        return Role("Patient", "patient", {"patient": self.patient})

    @property
    def expert(self) -> Role:
        """The expert of the Appointment, whose token comes from the expert's own hospital."""
        organization = self.appointment["extension"][0]["valueReference"]["reference"].partition("/")[2]
        return Role("Expert", "practitioner", {"practitioner": practitioner(self.appointment), "organization": organization})

    def token(self, role: Role) -> str:
        return token_for(self.up.exchange.settings, role.kind, **role.claims)

    async def ask(
        self, role: Role, request: str, expected: int = 200, body: Any = None, form: Any = None, note: str = ""
    ) -> Any:
        """Send `GET /path`, print it with its status, and give the JSON of the answer; NotAsTold if the status is another."""
        method, _, path = request.partition(" ")
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        headers |= {"Content-Type": "application/fhir+json"} if body is not None else {}
        answer = await self.http.request(method, self.up.url + path, json=body, data=form, headers=headers)
        self.say(f"  {role.name:<9}{method} {shown(path)} → {answer.status_code}{note and f'  {note}'}")
        expect(f"{role.name}: {method} {path.partition('?')[0]}", expected, answer.status_code)
        return answer.json() if answer.content else {}

    def tell(self, line: str) -> None:
        """A line of what was found."""
        self.say(f"             {line}")


DOCTOR_A = Role("Dr A", "practitioner", {"practitioner": "dr-a", "organization": "hospital-a", "role": "doctor"})
DOCTOR_B = Role("Dr B", "practitioner", {"practitioner": "dr-b", "organization": "hospital-b", "role": "doctor"})
HIS_A = Role("HIS A", "system", {"organization": "hospital-a"})
OFFICER = Role("Officer", "admin", {})


def expect(what: str, expected: Any, seen: Any) -> None:
    """NotAsTold unless what was seen is what was expected."""
    if seen != expected:
        raise NotAsTold(f"{what}: expected {expected}, seen {seen}")


def found(searchset: Resource) -> list[Resource]:
    """The resources of a searchset."""
    return [one["resource"] for one in searchset.get("entry", ())]


def parameters(**values: Any) -> Resource:
    """A Parameters resource: a text that names a resource is a reference, any other a string."""
    return {"resourceType": "Parameters", "parameter": [_parameter(name.replace("_", "-"), v) for name, v in values.items()]}


def practitioner(appointment: Resource) -> str:
    """The id of the Practitioner who takes part."""
    actors = (one["actor"]["reference"].partition("/") for one in appointment["participant"])
    return next(known for kind, _, known in actors if kind == "Practitioner")


def beijing(time: str) -> str:
    """A FHIR instant in Beijing time."""
    return datetime.fromtimestamp(interval(time)[0] / 1000, UTC).astimezone(BEIJING).strftime("%d %b %H:%M Beijing")


def shown(path: str) -> str:
    """A path as people read it: random parts of ids, and what is longer than a line, cut short."""
    short = _LONG_ID.sub(r"\1…", unquote(path))
    return short if len(short) <= _WIDTH else f"{short[: _WIDTH - 1]}…"


def _parameter(name: str, value: str) -> Resource:
    return {"name": name} | ({"valueReference": {"reference": value}} if name.endswith("reference") else {"valueString": value})
