"""Bundles as bytes: entry bodies are joined as they lie in the store, never parsed and dumped again."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import orjson

from fhir_server.http.outcomes import PART


def entry(resource: bytes | None = None, **members: object) -> bytes:
    """One Bundle.entry: `members` are fullUrl, search, request, response; None members are left out."""
    parts = [b'"%s":%s' % (name.encode(), orjson.dumps(value)) for name, value in members.items() if value is not None]
    if resource is not None:
        parts.append(b'"resource":' + resource)
    return b"{" + b",".join(parts) + b"}"


def bundle(kind: str, entries: Iterable[bytes], links: Sequence[Mapping[str, str]] = (), total: int | None = None) -> bytes:
    """A Bundle of already serialised entries; `entry` and `total` are left out where there are none."""
    head, joined = _head(kind, links, total), b",".join(entries)
    return b"".join((head, b',"entry":[', joined, b"]}")) if joined else head + b"}"


async def bundle_parts(
    kind: str, entries: AsyncIterator[bytes], links: Sequence[Mapping[str, str]] = (), total: int | None = None
) -> AsyncIterator[bytes]:
    """The same, part by part while its entries come: the first with the first entry, the others of some size."""
    waiting, size, before = [_head(kind, links, total)], PART, b',"entry":['
    async for one in entries:
        waiting += (before, one)
        size += len(one)
        before = b","
        if size >= PART:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join((*waiting, b"]}" if before == b"," else b"}"))


def _head(kind: str, links: Sequence[Mapping[str, str]], total: int | None) -> bytes:
    parts = [b'{"resourceType":"Bundle","type":"%s"' % kind.encode()]
    if total is not None:
        parts.append(b'"total":%d' % total)
    if links:
        parts.append(b'"link":' + orjson.dumps(list(links)))
    return b",".join(parts)
