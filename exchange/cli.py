"""The command `hie`: one table of subcommands, each a function of (settings, arguments) that returns an exit code."""

import argparse
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from exchange import auditing, bench, enlisting, inboxes, issuing, loading, reindexing, sending, serving, telling
from exchange.embedded import EmbeddedError
from exchange.settings import SettingError, Settings, read

Run = Callable[[Settings, argparse.Namespace], Coroutine[Any, Any, int]]


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what `hie --help` says of it, its arguments, its function."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Run


COMMANDS = (
    Command("serve", "serve FHIR over HTTP and take in HL7 v2 over MLLP, until Ctrl-C", serving.arguments, serving.run),
    Command("load", "load Bundles, resources, NDJSON and archives of them over FHIR", loading.arguments, loading.run),
    Command("token", "print an access token, for trying things out", issuing.arguments, issuing.run),
    Command("send", "send HL7 v2 messages over MLLP", sending.arguments, sending.run),
    Command("inbox", "list, show and replay the messages that hospitals sent", inboxes.arguments, inboxes.run),
    Command("reindex", "show which search parameters are searchable, or index anew", reindexing.arguments, reindexing.run),
    Command("experts", "write the synthetic remote experts and the times they offer", enlisting.arguments, enlisting.run),
    Command(
        "demo", "tell the story of the demo region with real traffic, on an exchange of its own", telling.arguments, telling.run
    ),
    Command("bench", "measure this machine, beside the raw driver", bench.arguments, bench.run),
    Command("verify-audit", "prove that the audit log is whole", auditing.arguments, auditing.run),
)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; 0 success, 1 it failed, 2 wrong usage or settings."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        settings = _settings(arguments)
        return uvloop.run(arguments.run(settings, arguments))
    except (SettingError, EmbeddedError) as error:
        print(f"hie: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if not _is_of_folder(error, arguments.data or read().data):
            raise
        print(f"hie: {error.filename}: {error.strerror}; choose another data folder with --data", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _is_of_folder(error: OSError, data: Path) -> bool:
    """Whether it is the data folder that cannot be made, or something in it that cannot be used."""
    place = Path(error.filename or "")
    return bool(error.filename) and (place.is_relative_to(data) or data.is_relative_to(place))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("hie", description="A regional health information exchange; settings: see README.md")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.help, description=command.help)
        one.add_argument("--data", type=Path, help="folder of everything the exchange writes (HIE_DATA)")
        command.arguments(one)
        one.set_defaults(run=command.run)
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    """The environment's settings, with what the command line says on top."""
    given = {name: value for name, value in vars(arguments).items() if value is not None and name in Settings.__slots__}
    return replace(read(), **given)


if __name__ == "__main__":
    sys.exit(main())
