"""`hie load`: send Bundles and resources to a FHIR server, several at a time; nothing is kept in memory for long."""

import argparse
import asyncio
import io
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import zstandard
from tqdm import tqdm

from exchange.issuing import token_for
from exchange.settings import Settings

AT_ONCE = 4
TIMEOUT = 600.0
WINDOW = 2**27  # some archives are made with --long=27
FHIR_JSON = {"Content-Type": "application/fhir+json"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="JSON, NDJSON, .tar, .tar.gz, .tar.zst, or a folder"
    )
    parser.add_argument("--url", help="FHIR base URL (default: the exchange on this machine)")
    parser.add_argument("--token", help="access token (default: one of a system, signed with the key in the data folder)")
    parser.add_argument("--organization", default="loader", help="whose records they are, where no --token is given")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    url = arguments.url or settings.base_url or f"http://{settings.host}:{settings.port}/fhir"
    token = arguments.token or token_for(settings, "system", organization=arguments.organization, lifetime=24 * 3600)
    headers = FHIR_JSON | {"Authorization": f"Bearer {token}"}
    loaded: Counter[str] = Counter()
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT) as client:
        # What refers to something not yet there fails at first: such documents get a second chance after all others.
        again = await _send_all(client, _documents(arguments.paths), loaded, final=False)
        failed = await _send_all(client, iter(again), loaded, final=True) if again else []
    print(f"loaded {sum(loaded.values())} resources" + (f", {len(failed)} documents failed" if failed else ""))
    return 1 if failed else 0


Document = tuple[str, bytes]


async def _send_all(
    client: httpx.AsyncClient, documents: Iterator[Document], loaded: Counter[str], final: bool
) -> list[Document]:
    """Send with AT_ONCE requests in flight; returns what failed, and says why the last time."""
    failed: list[Document] = []
    progress = tqdm(unit=" resources", disable=None)

    async def work() -> None:
        for document in documents:
            count, problem = await _send(client, document[1])
            loaded["resources"] += count
            progress.update(count)
            if problem:
                failed.append(document)
                if final:
                    tqdm.write(f"{document[0]}: {problem}", file=sys.stderr)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    progress.close()
    return failed


async def _send(client: httpx.AsyncClient, content: bytes) -> tuple[int, str]:
    """(resources written, problem)."""
    try:
        document = json.loads(content)
        response = await client.request(*_target(document), content=content)
    except (ValueError, httpx.HTTPError) as error:
        return 0, f"{type(error).__name__}"
    if response.status_code >= 400:
        return 0, f"{response.status_code} {_diagnostics(response)}"
    if document.get("resourceType") != "Bundle":
        return 1, ""
    statuses = [entry["response"]["status"] for entry in response.json().get("entry", ())]
    bad = [status for status in statuses if status >= "400"]
    return len(statuses) - len(bad), f"{len(bad)} entries failed, the first with {bad[0]}" if bad else ""


def _target(document: dict[str, Any]) -> tuple[str, str]:
    kind = document["resourceType"]
    if kind == "Bundle" and document.get("type") in ("transaction", "batch"):
        return "POST", ""
    return ("PUT", f"/{kind}/{document['id']}") if document.get("id") else ("POST", f"/{kind}")


def _diagnostics(response: httpx.Response) -> str:
    try:
        return "; ".join(issue.get("diagnostics", "") for issue in response.json()["issue"])
    except (ValueError, KeyError):
        return response.reason_phrase


def _documents(paths: list[Path]) -> Iterator[Document]:
    """(name, content) of each JSON document, folders and archives in order of names."""
    for path in paths:
        if path.is_dir():
            yield from _documents(sorted(one for one in path.iterdir() if one.suffix in (".json", ".ndjson")))
        elif ".tar" in path.name or path.suffix == ".tgz":
            yield from _archived(path)
        else:
            yield from _split(path.name, path.read_bytes())


def _split(name: str, content: bytes) -> Iterator[Document]:
    if not name.endswith(".ndjson"):
        yield name, content
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield f"{name}:{number}", line


def _archived(path: Path) -> Iterator[Document]:
    with path.open("rb") as file:
        raw: Any = file
        if path.name.endswith(".zst"):
            raw = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(file)
        with tarfile.open(fileobj=raw if path.name.endswith(".zst") else io.BufferedReader(file), mode="r|*") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and member.name.endswith((".json", ".ndjson")):
                    yield from _split(member.name, content.read())
