"""A hospital is one configuration entry: `[hospitals.<id>]` in the region's TOML file."""

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adapters.hl7v2.codes import CODE_SYSTEMS, IDENTIFIER_SYSTEMS, v2_table
from adapters.hl7v2.times import ZONE

ANY = "*"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,30}$")
_LISTS = ("facilities", "applications", "peers", "certificates")
_MAPS = ("identifier_systems", "code_maps")


@dataclass(frozen=True, eq=False)
class Hospital:
    """`id` is its Organization's id. `facilities` and `applications` are the MSH-4 and MSH-3 values it sends under,
    `peers` the addresses or CIDR networks, `certificates` the names in client certificates that may speak for it."""

    id: str
    name: str
    facilities: tuple[str, ...]
    applications: tuple[str, ...] = (ANY,)
    charset: str = "utf-8"
    timezone: str = "+08:00"
    identifier_systems: Mapping[str, str] = field(default_factory=dict)
    code_maps: Mapping[str, str] = field(default_factory=dict)
    peers: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()

    def system(self, *kind: str) -> str:
        """The uri of a namespace of the hospital's own, such as its local laboratory codes."""
        return ":".join(("urn:hie:hospital", self.id, *(quote(part, safe="") for part in kind)))

    def identifier_system(self, authority: str, type_code: str) -> str | None:
        """The system of an identifier by its assigning authority (CX.4), else by its type (CX.5)."""
        own = self.identifier_systems
        return own.get(authority) or own.get(type_code) or IDENTIFIER_SYSTEMS.get(type_code)

    def code_system(self, name: str) -> str | None:
        """The uri of a coding system by its name in CWE.3; one nobody knows is the hospital's own. None for no name."""
        if not name:
            return None
        return self.code_maps.get(name) or CODE_SYSTEMS.get(name.upper()) or v2_table(name) or self.system("code", name)


def load(path: Path) -> dict[str, Hospital]:
    """The hospitals of a region file by id; other tables are others' business. ValueError names what is wrong."""
    with path.open("rb") as file:
        tables = tomllib.load(file).get("hospitals", {})
    return {name: hospital(name, entry) for name, entry in tables.items()}


def hospital(name: str, entry: Mapping[str, Any]) -> Hospital:
    """One entry, checked: unknown keys and wrong values are errors, since a typing mistake could open a door."""
    known = {f.name for f in fields(Hospital)} - {"id"}
    for key in entry:
        _require(key in known, name, key, f"is not a setting; known are {', '.join(sorted(known))}")
    _require(bool(_ID.match(name)), name, "id", "must be 1 to 31 letters, digits, dots and hyphens")
    for key in ("name", "facilities"):
        _require(bool(entry.get(key)), name, key, "is required")
    values = {key: _checked(name, key, value) for key, value in entry.items()}
    return Hospital(id=name, **values)


def speakers(hospitals: Iterable[Hospital], address: str, names: Iterable[str] = ()) -> list[Hospital]:
    """The hospitals that a client at this address, with these certificate names, may speak for."""
    given = set(names)
    return [one for one in hospitals if _admits(one, address, given)]


def sender(hospitals: Iterable[Hospital], application: str, facility: str) -> Hospital | None:
    """The hospital that sends as MSH-3 and MSH-4; one that names the facility goes before one that takes any."""
    matching = [one for one in hospitals if _takes(one.facilities, facility) and _takes(one.applications, application)]
    return min(matching, key=lambda one: ANY in one.facilities, default=None)


def _takes(accepted: tuple[str, ...], value: str) -> bool:
    return ANY in accepted or value in accepted


def _admits(one: Hospital, address: str, names: set[str]) -> bool:
    if one.certificates and not names & set(one.certificates):
        return False
    return _inside(one.peers, address) if one.peers else bool(one.certificates)


def _inside(networks: tuple[str, ...], address: str) -> bool:
    peer = ipaddress.ip_address(address)
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return any(peer in ipaddress.ip_network(network) for network in networks)


def _checked(name: str, key: str, value: Any) -> Any:
    if key in _LISTS:
        _require(isinstance(value, list) and all(isinstance(v, str) for v in value), name, key, "must be a list of strings")
        return tuple(_network(name, v) for v in value) if key == "peers" else tuple(value)
    if key in _MAPS:
        _require(isinstance(value, dict) and all(isinstance(v, str) for v in value.values()), name, key, "must map to strings")
        return value
    _require(isinstance(value, str), name, key, "must be a string")
    _require(key != "charset" or value in ("utf-8", "gb18030"), name, key, "must be utf-8 or gb18030")
    _require(key != "timezone" or bool(ZONE.match(value)), name, key, "must be an offset such as +08:00")
    return value


def _network(name: str, value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(f"hospitals.{name}.peers: an entry is neither an address nor a network such as 10.1.0.0/16") from None


def _require(condition: bool, name: str, key: str, text: str) -> None:
    if not condition:
        raise ValueError(f"hospitals.{name}.{key}: {text}")
