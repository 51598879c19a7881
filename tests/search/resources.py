"""Real resources for the tests of search: the official examples and part of Synthea, by resource type."""

import json
from collections import defaultdict
from functools import cache
from typing import Any

from tests.fixtures import FIXTURES

Resource = dict[str, Any]


@cache
def by_type() -> dict[str, list[Resource]]:
    """The official examples of each type, and the first of each type in some Synthea Bundles."""
    found: dict[str, list[Resource]] = defaultdict(list)
    for path in sorted((FIXTURES / "r4-examples").glob("*.json")):
        resource = json.loads(path.read_text("utf-8"))
        found[resource["resourceType"]].append(resource)
    for path in sorted((FIXTURES / "synthea").glob("*.json"))[:6]:
        for entry in json.loads(path.read_text("utf-8"))["entry"]:
            same = found[entry["resource"]["resourceType"]]
            if len(same) < 60:
                same.append(entry["resource"])
    return dict(found)
