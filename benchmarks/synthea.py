"""Synthea's people as transaction Bundles: first the directory, then people until there are enough."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import zstandard

from tests.fixtures import FIXTURES

DIRECTORY = ("synthea/0-hospital*.json", "synthea/0-practitioner*.json")
ARCHIVE = "synthea-365-patients.tar.zst"
WINDOW = 2**27  # it was made with --long=27


def directory() -> Iterator[bytes]:
    """The Bundles of hospitals and practitioners."""
    return (path.read_bytes() for pattern in DIRECTORY for path in sorted(FIXTURES.glob(pattern)))


def people() -> Iterator[bytes]:
    """A transaction Bundle for each person, about 315 resources each, 115,000 in all."""
    return archived(FIXTURES / ARCHIVE)


def archived(path: Path) -> Iterator[bytes]:
    """The files of a .tar.zst, one after the other."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    with path.open("rb") as file, tarfile.open(fileobj=decompressor.stream_reader(file), mode="r|*") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                yield content.read()
