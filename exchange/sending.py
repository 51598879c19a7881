"""`hie send`: send HL7 v2 messages over MLLP and print the acknowledgements."""

import argparse
from pathlib import Path

from adapters import mllp
from exchange.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="one HL7 v2 message each")
    parser.add_argument("--mllp-host", help="where to send it (HIE_MLLP_HOST)")
    parser.add_argument("--mllp-port", type=int, help="where to send it (HIE_MLLP_PORT)")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    messages = [path.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r") for path in arguments.paths]
    replies = await mllp.send(settings.mllp_host, settings.mllp_port, messages)
    for reply in replies:
        print(reply.decode("utf-8", "replace").replace("\r", "\n"))
    return 0 if all(b"MSA|AA|" in reply for reply in replies) else 1
