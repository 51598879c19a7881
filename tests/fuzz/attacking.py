"""Schemathesis over an OpenAPI document, against a running exchange: what it makes of the schemas, and what violates them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

TIMEOUT = 30  # seconds for an answer
Broken = dict[str, str]


async def attack(document: Any, base_url: str, headers: Mapping[str, str], examples: Callable[[str], int]) -> Broken:
    """Each operation of the document, `examples` times as its schema says and as often against it: what got a 5xx."""
    return await asyncio.to_thread(_attack, document, base_url, headers, examples)


def _attack(document: Any, base_url: str, headers: Mapping[str, str], examples: Callable[[str], int]) -> Broken:
    broken: Broken = {}
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if count := examples(operation.label):
                _try(operation, mode, count, lambda case: case.call(base_url, headers=headers, timeout=TIMEOUT), broken)
    return broken


def _try(operation: Any, mode: GenerationMode, count: int, send: Callable[[Any], Any], broken: Broken) -> None:
    @seed(1)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Any) -> None:
        answer = send(case)
        if answer.status_code >= 500:
            broken.setdefault(operation.label, f"{answer.status_code}: {case.as_curl_command()[:1000]}")

    attempt()
