"""The data folder: private to the user who runs the exchange; its secrets are made once, and never in part."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def folder(path: Path) -> Path:
    """The folder, made with its parents if missing, open to its owner only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def secret(path: Path) -> bytes:
    """The secret kept in this file as hexadecimal text (mode 0600); 32 random bytes, made on the first call."""
    if not path.exists():
        _create(path, secrets.token_hex(32))
    return bytes.fromhex(path.read_text())


def _create(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(draft, path)  # unlike a rename it fails where another process was first: that one's secret stands
    draft.unlink()
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
