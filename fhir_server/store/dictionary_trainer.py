"""Train the compression dictionary: `python -m fhir_server.store.dictionary_trainer FOLDER OUTPUT`.

Only ever on synthetic Bundles: a dictionary repeats pieces of what it was trained on, in clear (DESIGN 3).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import zstandard

DICTIONARY_BYTES = 112 * 1024


def samples(folder: Path) -> Iterator[bytes]:
    """Each resource of each Bundle in `folder`, as compactly as the store writes it."""
    for path in sorted(folder.glob("*.json")):
        for entry in json.loads(path.read_bytes())["entry"]:
            yield json.dumps(entry["resource"], separators=(",", ":"), ensure_ascii=False).encode()


def main(folder: str, output: str) -> None:
    dictionary = zstandard.train_dictionary(DICTIONARY_BYTES, list(samples(Path(folder))), level=3)
    Path(output).write_bytes(dictionary.as_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
