"""References by canonical url (R4 references.html#canonical): what they say, and what a resource here is called by them."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from fhir_server.search import values
from fhir_server.search.clauses import Clause
from fhir_server.search.parameters import Parameter, standard


def canonicals(parameter: Parameter, resource: dict[str, Any]) -> list[str]:
    """`url` or `url|version` of what the resource refers to so."""
    found = (value for path in parameter.paths if path.datatype == "canonical" for value in path.extract(resource))
    return [bare for one in found if (bare := one.partition("#")[0])]


def names(resource: dict[str, Any]) -> frozenset[str]:
    """What canonical references to this resource say: its url, with its version or without; none where it has no url."""
    url, version = resource.get("url"), resource.get("version")
    return frozenset((url, f"{url}|{version}")) if isinstance(url, str) and has_url(resource["resourceType"]) else frozenset()


def called(resource_type: str, canonicals: Iterable[str]) -> Clause:
    """The clause that finds what has the url of any of these, whatever its version."""
    urls = sorted({one.partition("|")[0] for one in canonicals})
    return Clause(standard(resource_type)["url"], None, tuple(map(values.Uri, urls)))


@cache
def has_url(resource_type: str) -> bool:
    """Whether resources of this type may be referred to by canonical url."""
    url = standard(resource_type).get("url")
    return url is not None and url.type == "uri"
