"""Keys: only hashes rest, scopes hold, rotation overlaps, a change is seen without a restart."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ingest_lambda.keys import (
    KeyFileError,
    KeyStore,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from telemetry_platform.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "api_keys.json"


def test_a_key_opens_and_rests_as_a_hash(path: Path) -> None:
    key_id, text = create_key(path, "phones", ["mobile"])
    key = KeyStore(path).verify(text)
    assert key is not None
    assert (key.id, key.fleet, key.sources) == (key_id, "phones", ("mobile",))
    assert text.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_scopes_hold(path: Path) -> None:
    create_key(path, "phones", ["mobile"])
    create_key(path, "all", ["*"])
    phones, everything = list_keys(path)
    assert phones.may_send("mobile")
    assert not phones.may_send("wearable")
    assert everything.may_send("wearable")


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "x", lambda t: t[4:], lambda _: ""]
)
def test_other_texts_do_not_open(path: Path, change: Callable[[str], str]) -> None:
    _, text = create_key(path, "phones")
    assert KeyStore(path).verify(change(text)) is None


def test_a_secret_opens_only_with_its_own_id(path: Path) -> None:
    _, first = create_key(path, "a")
    _, second = create_key(path, "b")
    mixed = "_".join(first.split("_", 2)[:2]) + "_" + second.split("_", 2)[2]
    assert KeyStore(path).verify(mixed) is None


def test_rotation_keeps_the_old_key_for_its_overlap(path: Path) -> None:
    key_id, old = create_key(path, "phones", ["mobile"])
    new_id, new = rotate_key(path, key_id, timedelta(hours=1))
    store = KeyStore(path)
    assert new_id != key_id
    assert store.verify(old) is not None
    assert store.verify(new) is not None
    assert not list_keys(path)[0].valid_at(utc_now() + timedelta(hours=2))
    assert list_keys(path)[1].sources == ("mobile",)


def test_revocation_is_seen_by_a_running_store(path: Path) -> None:
    key_id, text = create_key(path, "phones")
    store = KeyStore(path)
    assert store.verify(text) is not None
    revoke_key(path, key_id)
    store.check_now()
    assert store.verify(text) is None
    assert store.empty


def test_a_broken_file_keeps_the_keys_that_were_read(path: Path) -> None:
    _, text = create_key(path, "phones")
    store = KeyStore(path)
    assert store.verify(text) is not None
    path.write_text("{")
    store.check_now()
    assert store.verify(text) is not None
    assert store.problem == "the API key file cannot be read"


def test_a_missing_file_opens_for_nobody(path: Path) -> None:
    store = KeyStore(path)
    assert store.verify("tlk_a_b") is None
    assert store.empty
    assert store.problem == "there is no API key file"


def test_unknown_ids_are_refused(path: Path) -> None:
    create_key(path, "phones")
    with pytest.raises(KeyFileError):
        revoke_key(path, "nobody")
    with pytest.raises(KeyFileError):
        rotate_key(path, "nobody")


def test_the_file_has_the_documented_members(path: Path) -> None:
    create_key(path, "phones")
    (entry,) = json.loads(path.read_text())["keys"]
    members = {"id", "fleet", "sources", "hash", "created_at", "expires_at", "revoked_at"}
    assert set(entry) == members
