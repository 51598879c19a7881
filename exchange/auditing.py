"""`hie verify-audit`: walk every chain of the audit log against its MACs and the anchors outside the database."""

import argparse
import sys

from exchange.opening import opened
from exchange.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit code 0: the log is whole; 1: what is wrong is printed, a line each"


async def run(settings: Settings, _: argparse.Namespace) -> int:
    wrong = 0
    async with opened(settings) as exchange:
        records = await exchange.database["audit"].estimated_document_count()
        async for line in exchange.record.audit.verify():
            print(line, file=sys.stderr)
            wrong += 1
    if wrong:
        print(f"the audit log is NOT whole: {wrong} findings", file=sys.stderr)
        return 1
    print(f"the audit log is whole: {records} records, every link and every anchor verified")
    return 0
