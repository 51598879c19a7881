"""Data keys: durable before what they seal, the same for every process, gone for ever when erased (DESIGN 3)."""

import asyncio
from pathlib import Path

import pytest

from fhir_server.store.keystore import KeyErased, KeyStore, KeyTaken
from fhir_server.store.sealing import seal, unseal
from fhir_server.store.secrets import Secrets

SECRETS = Secrets(bytes(32))
OWNER = b"a patient's key."


async def test_a_saved_key_opens_what_it_sealed_after_a_restart(tmp_path: Path) -> None:
    before = KeyStore(tmp_path / "keys.db", SECRETS)
    before.ensure((OWNER,))
    sealed = seal(before.key(OWNER), b"text", b"place")
    await before.save(0)
    before.close()
    after = KeyStore(tmp_path / "keys.db", SECRETS)
    assert unseal(after.key(OWNER), sealed, b"place") == b"text"


async def test_of_two_processes_that_make_one_key_the_second_seals_again(tmp_path: Path) -> None:
    """A body sealed with a key that was never kept could not be read again."""
    first, second = KeyStore(tmp_path / "keys.db", SECRETS), KeyStore(tmp_path / "keys.db", SECRETS)
    for store in (first, second):
        store.ensure((OWNER,))
    await first.save(0)
    with pytest.raises(KeyTaken):
        await second.save(0)
    second.ensure((OWNER,))
    await second.save(second.lost)
    sealed = seal(first.key(OWNER), b"text", b"place")
    assert unseal(second.key(OWNER), sealed, b"place") == b"text"


async def test_a_lane_waits_for_the_key_that_another_is_saving(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.db", SECRETS)
    owners = [bytes((number,)) * 16 for number in range(50)]
    store.ensure(owners)
    await asyncio.gather(store.save(0), store.save(0))
    assert KeyStore(tmp_path / "keys.db", SECRETS).load(owners) == set()


async def test_all_lanes_that_used_a_key_that_was_not_kept_seal_again(tmp_path: Path) -> None:
    """Two lanes of a process seal with one new key: both learn that another process was first"""
    first, second = KeyStore(tmp_path / "keys.db", SECRETS), KeyStore(tmp_path / "keys.db", SECRETS)
    for store in (first, second):
        store.ensure((OWNER,))
    await first.save(0)
    outcomes = await asyncio.gather(second.save(0), second.save(0), return_exceptions=True)
    assert [type(one) for one in outcomes] == [KeyTaken, KeyTaken]


async def test_an_erased_key_is_gone(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.db", SECRETS)
    await store.establish(OWNER)
    await store.erase((OWNER,))
    with pytest.raises(KeyErased):
        store.key(OWNER)
    with pytest.raises(KeyErased):
        KeyStore(tmp_path / "keys.db", SECRETS).key(OWNER)
