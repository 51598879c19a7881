"""HL7 v2 data types -> FHIR data types (v2-to-FHIR data type maps). Each takes a repetition and the build; None: no value."""

import re
from typing import Any, TypeVar

from adapters.hl7v2 import codes, times
from adapters.hl7v2.building import Build, Resource, coded, compact, extension, period_of
from adapters.hl7v2.parse import Repetition
from adapters.hospitals import Hospital
from fhir_server.persons import idcard, names
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD

T = TypeVar("T")
_TELLING = re.compile(r"[^\W_0]")  # a letter, or a figure but 0

# code, display, system, version, system as an OID: of the three codings of a CWE.
_CODINGS = ((1, 2, 3, 7, 14), (4, 5, 6, 8, 17), (10, 11, 12, 13, 20))


def is_number(text: str) -> bool:
    """Whether it tells patients, visits or orders apart, as `none`, `0` and `--` do not."""
    return text.lower() not in codes.PLACEHOLDERS and bool(_TELLING.search(text))


def number(text: str) -> str:
    """What tells one from another, or nothing."""
    return text if is_number(text) else ""


def text(rep: Repetition, _: Build) -> str | None:
    """ST, TX, FT -> string."""
    return rep.text() or None


def date_time(rep: Repetition, build: Build) -> str | None:
    """DTM, TS, DT -> dateTime, in the hospital's time zone where it names none."""
    return _or_reject(rep, rep[1], times.date_time(rep[1], build.zone), "not an HL7 date and time")


def date(rep: Repetition, _: Build) -> str | None:
    """DTM, DT -> date."""
    return _or_reject(rep, rep[1], times.date(rep[1]), "not an HL7 date")


def codeable(rep: Repetition, build: Build) -> Resource | None:
    """CWE, CE, CNE, IS -> CodeableConcept."""
    populated = _CODINGS if len(rep) > 3 else _CODINGS[:1]
    codings = [made for places in populated if (made := _coding(rep, build, *places))]
    return compact(coding=codings, text=rep[9] or rep[2] or rep[5] or rep[1]) or None


def label(rep: Repetition, _: Build) -> str | None:
    """CWE, XON, ST -> string: what a person reads."""
    return rep[9] or rep[2] or rep[1] or None


def first(rep: Repetition, _: Build) -> str | None:
    """Component 1 as a string."""
    return rep[1] or None


def mapped(table: dict[str, str], system: str) -> Any:
    """A CodeableConcept whose code is also given in FHIR's own code system, first."""

    def convert(rep: Repetition, build: Build) -> Resource | None:
        concept = codeable(rep, build)
        if concept and rep[1] in table:
            concept["coding"] = [{"system": system, "code": table[rep[1]]}, *concept.get("coding", [])]
        return concept

    return convert


def code_of(table: dict[str, str]) -> Any:
    """A code of a required value set."""

    def convert(rep: Repetition, _: Build) -> str | None:
        return _or_reject(rep, rep[1], table.get(rep[1]), "a code that the mapping does not know")

    return convert


def extended(url: str, name: str, of: Any) -> Any:
    """An extension around a converted value; `name` is its `value[x]`."""

    def convert(rep: Repetition, build: Build) -> Resource | None:
        value = of(rep, build)
        return extension(url, **{name: value}) if value is not None else None

    return convert


def identifier(rep: Repetition, build: Build) -> Resource | None:
    """CX -> Identifier."""
    made = identified(rep, build, rep[1], identifier_system(rep, build.hospital), rep[5])
    if made is None:
        return None
    start, end = times.date(rep[7]), times.date(rep[8])
    if start and end and end < start:  # not worth the message
        rep.reject("valid until before it is valid")
        start = end = None
    return {**made, **compact(assigner=assigner(rep, 4), period=compact(start=start, end=end))}


def identified(rep: Repetition, build: Build, value: str, system: str, type_code: str) -> Resource | None:
    """An Identifier; a number that cannot be an ID card's is not called one (GB 11643)."""
    if not value:
        return None
    if system == RESIDENT_ID_CARD:
        if idcard.valid(value.upper()):
            value = value.upper()
        else:
            build.note(f"{rep.path}: not a resident ID card number by its check digit; kept as the hospital's own identifier")
            system = build.hospital.system("identifier", type_code or "NI")
    kind = coded(f"{codes.V2}0203", _code(type_code)) if type_code else None
    return compact(type=kind, system=system, value=value)


def identifier_system(rep: Repetition, hospital: Hospital) -> str:
    """The system of a CX: as configured, else its authority's universal id, else the hospital's own namespace."""
    configured = hospital.identifier_system(rep[4], rep[5]) or hd_uri(rep, 4)
    return configured or hospital.system("identifier", *(part for part in (rep[4], rep[5]) if part))


def entity(kind: str = "") -> Any:
    """EI -> Identifier of a kind of table 0203 (PLAC, FILL)."""

    def convert(rep: Repetition, build: Build) -> Resource | None:
        return entity_identifier(rep, build, kind)

    return convert


def entity_identifier(rep: Repetition, build: Build, kind: str) -> Resource | None:
    """EI -> Identifier."""
    if not rep[1]:
        return None
    system = universal(rep[3], rep[4]) or build.hospital.system("order", *filter(None, (kind, rep[2])))
    return compact(type=coded(f"{codes.V2}0203", kind) if kind else None, system=system, value=rep[1])


def pair(rep: Repetition, build: Build) -> list[Resource]:
    """EIP -> the placer's and the filler's Identifier."""
    return [_part(rep, build, kind, n) for kind, n in (("PLAC", 1), ("FILL", 2)) if rep[n]]


def hd_uri(rep: Repetition, component: int) -> str | None:
    """HD -> the uri of its universal id."""
    return universal(rep.sub(component, 2), rep.sub(component, 3))


def universal(value: str, kind: str) -> str | None:
    """A universal id of a type of table 0301 as a uri; None for a type that has no uri."""
    if kind == "ISO" and re.fullmatch(r"[012](\.(0|[1-9]\d*))+", value):
        return f"urn:oid:{value}"
    if kind in ("UUID", "GUID") and re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        return f"urn:uuid:{value.lower()}"
    return value if kind == "URI" and re.match(r"[a-z][a-z0-9+.-]*:\S+$", value) else None


def assigner(rep: Repetition, component: int) -> Resource | None:
    """HD -> Identifier.assigner: the authority by its name and its universal id."""
    uri = hd_uri(rep, component)
    known = {"system": "urn:ietf:rfc:3986", "value": uri} if uri else None
    return compact(identifier=known, display=rep[component]) or None


def human_name(rep: Repetition, build: Build) -> Resource | None:
    """XPN -> HumanName: `text` always, `family` and `given` only where the culture has them."""
    family, given = names.normal(rep[1]), [names.normal(part) for part in (rep[2], rep[3]) if part]
    named = _name(family, given, code=rep[7], prefix=rep[5], suffixes=(rep[4], rep[6], rep[14]))
    return {**named, **compact(period=period_of(rep[12], rep[13], build))} if named else None


def practitioner_name(rep: Repetition, _: Build) -> Resource | None:
    """XCN -> HumanName: the components of XPN moved by one."""
    family, given = names.normal(rep[2]), [names.normal(part) for part in (rep[3], rep[4]) if part]
    return _name(family, given, code=rep[10], prefix=rep[6], suffixes=(rep[5], rep[7]))


def plain_name(rep: Repetition, build: Build) -> str | None:
    """XPN -> string."""
    name = human_name(rep, build)
    return name["text"] if name else None


def address(rep: Repetition, build: Build) -> Resource | None:
    """XAD -> Address."""
    street = " ".join(filter(None, (rep.sub(1, 3), rep.sub(1, 2)))) if rep.sub(1, 2) else ""
    lines = [line for line in (rep[1], street, rep[2], rep[19]) if line]
    parts = [part for part in (rep[4], rep[3], rep[9], *lines) if part]
    if not parts and not rep[5] and not rep[6]:
        return None
    return compact(
        use=codes.ADDRESS_USE.get(rep[7]),
        type=codes.ADDRESS_TYPE.get(rep[7]),
        text=_joined(parts),
        line=lines,
        city=rep[3],
        district=rep[9],
        state=rep[4],
        postalCode=rep[5],
        country=rep[6],
        period=period_of(rep.sub(12, 1) or rep[13], rep.sub(12, 2) or rep[14], build),
    )


def telecom(use: str | None = None) -> Any:
    """XTN -> ContactPoint, of a default use."""

    def convert(rep: Repetition, build: Build) -> Resource | None:
        online = rep[3] in ("Internet", "X.400") or (not rep[3] and rep[4])
        value = (rep[4] or rep[1]) if online else (rep[12] or _number(rep) or rep[1])
        if not value:
            return None
        known = codes.TELECOM_USE.get(rep[2])
        return compact(
            system=codes.TELECOM_SYSTEM.get(rep[3]) or ("email" if online else "phone"),
            value=value,
            use="mobile" if rep[3] == "CP" else known or use,
            period=period_of(rep[13], rep[14], build),
        )

    return convert


def period(rep: Repetition, build: Build) -> Resource | None:
    """DR -> Period."""
    return _or_reject(rep, rep[1] or rep[2], period_of(rep[1], rep[2], build), "not an HL7 date range")


def yes(rep: Repetition, _: Build) -> bool | None:
    """ID of table 0136 -> boolean."""
    return _or_reject(rep, rep[1], {"Y": True, "N": False}.get(rep[1]), "neither Y nor N")


def protected(rep: Repetition, build: Build) -> Resource | None:
    """ID of table 0136 that asks for protection -> a security label, also where it cannot be read."""
    asked = bool(rep[1]) and yes(rep, build) is not False
    return dict(zip(("system", "code"), codes.RESTRICTED, strict=True)) if asked else None


def confidential(rep: Repetition, _: Build) -> Resource | None:
    """CWE of table 0177 -> a security label; what the table does not know is restricted."""
    known = _or_reject(rep, rep[1], codes.CONFIDENTIALITY.get(rep[1].upper()), "a code that the mapping does not know")
    return dict(zip(("system", "code"), known or codes.RESTRICTED, strict=True)) if rep[1] else None


def positive(rep: Repetition, _: Build) -> int | None:
    """NM -> positiveInt."""
    number = int(rep[1]) if re.fullmatch(r"\d{1,9}", rep[1]) else 0
    return _or_reject(rep, rep[1], number or None, "not a positive number")


def _or_reject(rep: Repetition, given: str, value: T | None, why: str) -> T | None:
    if given and value is None:
        rep.reject(why)
    return value


def _code(value: str) -> str:
    return " ".join(value.split())


def _part(rep: Repetition, build: Build, kind: str, n: int) -> Resource:
    own = build.hospital.system("specimen", *filter(None, (rep.sub(n, 2),)))
    system = universal(rep.sub(n, 3), rep.sub(n, 4)) or own
    return compact(type=coded(f"{codes.V2}0203", kind), system=system, value=rep[n])


def _coding(rep: Repetition, build: Build, code: int, display: int, system: int, version: int, oid: int) -> Resource | None:
    if code > len(rep) or not rep[code]:
        return None
    uri = build.hospital.code_system(rep[system]) or (universal(rep[oid], "ISO") if oid <= len(rep) else None)
    return compact(system=uri, version=rep[version] if uri else None, code=_code(rep[code]), display=rep[display])


def _name(family: str, given: list[str], code: str, prefix: str, suffixes: tuple[str, ...]) -> Resource | None:
    whole = names.full(family, given)
    if not whole:
        return None
    alone = names.without_family(family, *given) or (names.han(whole) and not (family and given))
    return compact(
        use=codes.NAME_USE.get(code),
        text=whole,
        family=None if alone else family,
        given=None if alone else given,
        prefix=[prefix] if prefix else None,
        suffix=[part for part in suffixes if part],
    )


def _joined(parts: list[str]) -> str:
    return ("" if any(re.search(r"[\u3400-\u9fff]", part) for part in parts) else ", ").join(parts)


def _number(rep: Repetition) -> str:
    local = " ".join(filter(None, (f"+{rep[5].lstrip('+')}" if rep[5] else "", rep[6], rep[7])))
    return f"{local} X{rep[8]}" if rep[7] and rep[8] else local if rep[7] else ""
