"""What `hie serve` prints when it is up: where to look, and commands to try."""

from exchange.opening import Opened
from exchange.settings import DEMO_REGION
from fhir_server.r4.json import read
from fhir_server.store.documents import body

TOKEN = ".venv/bin/hie token --data {data}"

UP = """
The exchange is up. Ctrl-C stops it.
  FHIR R4   {url}   (what it can do: {url}/metadata)
  HL7 v2    MLLP on {mllp_host}:{mllp_port}
  data      {data}
"""

TRY = """
Try it, in another terminal. A doctor of hospital-b reads the latest results of a person, whichever hospital wrote them:

  curl -s -H "Authorization: Bearer $({token} --kind practitioner --practitioner dr-b --organization hospital-b)" \\
    "{url}/Observation?patient=Patient/{patient}&_sort=-date&_count=3" | python3 -m json.tool

The patient looks at who looked:

  curl -s -H "Authorization: Bearer $({token} --kind patient --patient {patient})" \\
    "{url}/Patient/{patient}/\\$access-log" | python3 -m json.tool

hospital-a registers a newcomer (an HL7 v2 ADT^A04; the answer is its acknowledgement):

  .venv/bin/hie send --mllp-port {mllp_port} docs/examples/adt-a04.hl7

The whole story, from birth to a consultation far away, on an exchange of its own:

  .venv/bin/hie demo

"""


async def welcome(exchange: Opened, url: str, mllp_port: int) -> None:
    """Print it; the commands only for the demo region, whose people are known."""
    settings = exchange.settings
    facts = {"url": url, "mllp_host": settings.mllp_host, "mllp_port": mllp_port, "data": settings.data}
    print(UP.format(**facts), end="", flush=True)
    patient = await _somebody(exchange) if settings.region == DEMO_REGION else None
    if patient:
        print(TRY.format(**facts, token=TOKEN.format(**facts), patient=patient), end="", flush=True)


async def _somebody(exchange: Opened) -> str | None:
    """The id of a Patient whose person all three institutions know."""
    person = await exchange.database["persons"].find_one({"patients.2": {"$exists": True}})
    stored = await exchange.record.by_key(person["patients"][0]) if person else None
    return str(read(body(exchange.record.codec, stored))["id"]) if stored and "b" in stored else None
