"""No request that an OpenAPI document lets one think of, and none that violates it, is answered with 5xx (Schemathesis).

`make fuzz` looks ten times as long: FUZZ says how many times.
"""

import os

from tests.fuzz.attacking import attack
from tests.portal.world import PORTAL, region
from tests.serving import Door

TIMES = int(os.environ.get("FUZZ", "1"))


async def test_fhir_has_no_5xx(door: Door) -> None:
    """Searches of 146 types share their code: one attempt of each kind; three of all else."""
    async with door.client() as stranger:
        document = (await stranger.get(door.base_url.removesuffix("/fhir") + "/openapi.json")).json()
    typed = {path for path in document["paths"] if path.count("/") == 1 and path[1:2].isupper()}
    assert len(typed) == 146

    def examples(label: str) -> int:
        return TIMES * (1 if label.partition(" ")[2] in typed else 3)

    token = door.token("system", organization="hospital-a")
    assert await attack(document, door.base_url, {"Authorization": f"Bearer {token}"}, examples) == {}


async def test_the_portal_has_no_5xx(mongodb_uri: str, database: str, tmp_path_factory) -> None:
    """As a person whose record is bound"""
    async with region(mongodb_uri, database, tmp_path_factory.mktemp("portal")) as made:
        app = await made.bound()
        document = (await app.get("/openapi.json")).json()
        base_url = made.door.base_url.removesuffix("/fhir") + PORTAL
        found = await attack(document, base_url, dict(app.headers), lambda label: TIMES * (0 if "logout" in label else 3))
        assert found == {}
