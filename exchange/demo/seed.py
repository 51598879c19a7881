"""The demo region on first start: two hospitals push what they know about some people, over MLLP, as real ones would."""

import sys

from tqdm import tqdm

from adapters import hospitals, mllp
from exchange.demo.messages import story
from exchange.demo.people import people
from exchange.opening import Opened
from exchange.settings import DEMO_REGION

PEOPLE = 36
SHARES = {"hospital-a": slice(0, 24), "hospital-b": slice(12, PEOPLE)}  # a third of them are known to both
AT_ONCE = 10


async def seed_once(exchange: Opened, port: int) -> None:
    """Send the demo's messages if this is the demo region and the inbox has never seen any."""
    if exchange.settings.region != DEMO_REGION or await exchange.database["inbox"].find_one({}, {"_id": 1}):
        return
    known = hospitals.load(DEMO_REGION)
    everyone = people(PEOPLE)
    messages = [one for name, share in SHARES.items() for one in story(known[name], everyone[share])]
    with tqdm(total=len(messages), unit=" messages", desc="seeding the demo region", file=sys.stderr) as progress:
        for start in range(0, len(messages), AT_ONCE):
            replies = await mllp.send(exchange.settings.mllp_host, port, messages[start : start + AT_ONCE])
            refused = [reply for reply in replies if b"MSA|AA|" not in reply]
            if refused:
                raise RuntimeError(f"the demo region was refused: {refused[0].decode('utf-8', 'replace')}")
            progress.update(len(replies))
