"""fhirpy, as its users use it, unchanged."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from tests.serving import Door


@pytest_asyncio.fixture(loop_scope="session")
async def client(door: Door) -> AsyncIterator[AsyncFHIRClient]:
    yield AsyncFHIRClient(door.base_url, authorization=f"Bearer {door.token('system', organization='hospital-a')}")


async def test_a_resource_lives_and_dies(client: AsyncFHIRClient) -> None:
    patient = client.resource("Patient", name=[{"text": "阿依古丽", "family": "A"}], birthDate="1980-02-03")
    await patient.save()
    assert patient.id and patient["meta"]["versionId"] == "1"
    patient["gender"] = "female"
    await patient.update()
    again = await client.reference("Patient", patient.id).to_resource()
    assert (again["gender"], again["meta"]["versionId"]) == ("female", "2")
    await patient.delete()
    with pytest.raises(ResourceNotFound):
        await client.get("Patient", patient.id)


async def test_searches_page_count_and_sort(client: AsyncFHIRClient) -> None:
    for number in range(7):
        await client.resource("Basic", code={"coding": [{"system": "urn:x", "code": str(number % 2)}]}).save()
    everything = client.resources("Basic").limit(2)
    assert len(await everything.fetch_all()) == 7
    assert await client.resources("Basic").search(code="urn:x|0").count() == 4
    assert len([one async for one in client.resources("Basic").search(code="urn:x|1").sort("-_lastUpdated")]) == 3
    assert await client.resources("Basic").search(code="urn:x|7").first() is None


async def test_a_bundle_is_executed_and_errors_say_what(client: AsyncFHIRClient) -> None:
    created = {"resource": {"resourceType": "Basic", "code": {"text": "x"}}, "request": {"method": "POST", "url": "Basic"}}
    answer = await client.resource("Bundle", type="transaction", entry=[created]).save()
    assert answer["entry"][0]["response"]["status"].startswith("201")
    with pytest.raises(OperationOutcome):
        await client.resource("Patient", birthDate="yesterday").save()
