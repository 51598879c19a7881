"""Bundles as bytes: entry bodies are joined as they lie in the store, never parsed and dumped again."""

from collections.abc import Iterable, Mapping, Sequence

import orjson


def entry(resource: bytes | None = None, **members: object) -> bytes:
    """One Bundle.entry: `members` are fullUrl, search, request, response; None members are left out."""
    parts = [b'"%s":%s' % (name.encode(), orjson.dumps(value)) for name, value in members.items() if value is not None]
    if resource is not None:
        parts.append(b'"resource":' + resource)
    return b"{" + b",".join(parts) + b"}"


def bundle(kind: str, entries: Iterable[bytes], links: Sequence[Mapping[str, str]] = (), total: int | None = None) -> bytes:
    """A Bundle of already serialised entries; `entry` and `total` are left out where there are none."""
    parts = [b'{"resourceType":"Bundle","type":"%s"' % kind.encode()]
    if total is not None:
        parts.append(b'"total":%d' % total)
    if links:
        parts.append(b'"link":' + orjson.dumps(list(links)))
    joined = b",".join(entries)
    if joined:
        parts.append(b'"entry":[' + joined + b"]")
    return b",".join(parts) + b"}"
