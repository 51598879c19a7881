"""`hie bench`: runs benchmarks/ of the source tree, which may use every room, so this process becomes that one."""

import argparse
import os
import sys
from pathlib import Path

from exchange.settings import SettingError, Settings

ROOT = Path(__file__).resolve().parents[1]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resources", type=int, default=100_000, help="how many to load before anything else is measured")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each measurement takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file, too")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    if not (ROOT / "benchmarks").is_dir():
        raise SettingError("the benchmark is part of the source tree: run 'make bench' there")
    given = {"resources": arguments.resources, "seconds": arguments.seconds, "json": arguments.json, "data": arguments.data}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *words], {**os.environ, "PYTHONPATH": str(ROOT)})  # noqa: S606
