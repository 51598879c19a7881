"""HL7 v2 in: both hospitals of the demo region send ADT and ORU messages over MLLP, each message acknowledged AA."""

from collections.abc import Iterator, Sequence
from functools import partial

from adapters import hospitals
from benchmarks.clients import Mllp, connected
from benchmarks.measuring import Measured, closed_loop
from benchmarks.servers import HOST, Server
from exchange.demo.messages import story
from exchange.demo.people import Person, people

CONNECTIONS = 32  # each waits for the acknowledgement of one message before the next, as hospitals' systems do
PEOPLE_PER_SECOND = 400  # more than can be sent


async def messages(server: Server, seconds: float) -> Measured:
    """Messages/s from sent to acknowledged; a person's messages go over one connection, in their order."""
    async with connected(Mllp, HOST, server.mllp_port, CONNECTIONS) as connections:
        known = people(int(PEOPLE_PER_SECOND * seconds))
        sent = (_sent(server, number, known) for number in range(CONNECTIONS))
        return await closed_loop([(some, partial(_send, one)) for some, one in zip(sent, connections, strict=True)], seconds)


async def _send(connection: Mllp, message: bytes) -> int:
    if b"MSA|AA|" not in await connection.send(message):
        raise RuntimeError("a message was not accepted")
    return 1


def _sent(server: Server, connection: int, known: Sequence[Person]) -> Iterator[bytes]:
    """What goes over one connection: even ones are the first hospital's, odd ones the second's."""
    which, line = connection % 2, connection // 2
    hospital = list(hospitals.load(server.settings.region).values())[which]
    # Of three people, the first hospital knows one, the second another, and both the third.
    mine = [one for one in known if one.number % 3 != which]
    return story(hospital, mine[line :: CONNECTIONS // 2])
