"""Keys: only hashes rest, scopes hold, rotation overlaps, a change is seen without a restart."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_platform.access_keys.audit import audit_file
from telemetry_platform.access_keys.key_file import (
    KeyFileError,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from telemetry_platform.access_keys.key_store import KeyStore
from telemetry_platform.access_keys.rate_limit import RateLimit
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
    assert phones.covers("mobile")
    assert not phones.covers("wearable")
    assert everything.covers("wearable")


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
    times = {"created_at", "expires_at", "revoked_at"}
    assert set(entry) == {"id", "fleet", "sources", "hash", "rate_limit", "roles"} | times


def test_a_key_ends_at_its_hour(path: Path) -> None:
    soon = utc_now() + timedelta(hours=1)
    _, text = create_key(path, "phones", expires_at=soon)
    (key,) = list_keys(path)
    assert key.valid_at(soon - timedelta(seconds=1))
    assert not key.valid_at(soon)
    assert KeyStore(path).verify(text) is not None
    assert KeyStore(path).ended(text) is None


def test_an_expired_key_is_told_from_an_unknown_one(path: Path) -> None:
    key_id, text = create_key(path, "phones")
    rotate_key(path, key_id, timedelta(0))
    store = KeyStore(path)
    assert store.verify(text) is None
    ended = store.ended(text)
    assert ended is not None
    assert ended.id == key_id
    assert store.ended(text[:-1] + ("a" if text[-1] != "a" else "b")) is None


def test_a_key_cannot_be_born_dead(path: Path) -> None:
    with pytest.raises(KeyFileError, match="before it is made"):
        create_key(path, "phones", expires_at=utc_now())
    assert not path.exists()


def test_rotation_never_turns_an_ending_key_into_an_endless_one_unasked(path: Path) -> None:
    end = utc_now() + timedelta(days=90)
    key_id, _ = create_key(path, "phones", expires_at=utc_now() + timedelta(hours=1))
    with pytest.raises(KeyFileError, match="say when"):
        rotate_key(path, key_id)
    rotate_key(path, key_id, expires_at=end)
    rotate_key(path, key_id, may_never_expire=True)
    assert [key.expires_at for key in list_keys(path)[1:]] == [end, None]


def test_a_successor_keeps_rights_and_rate(path: Path) -> None:
    key_id, _ = create_key(
        path, "phones", ["mobile"], roles=["read", "write"], rate_limit=RateLimit.of(5, 50)
    )
    rotate_key(path, key_id)
    old, successor = list_keys(path)
    assert (successor.sources, successor.roles) == (("mobile",), ("read", "write"))
    assert successor.rate_limit == RateLimit(5, 50)
    assert old.expires_at is not None


def test_a_key_does_what_its_roles_say(path: Path) -> None:
    create_key(path, "phones")
    create_key(path, "analysts", roles=["read"])
    create_key(path, "operators", roles=["admin"])
    sender, reader, admin = list_keys(path)
    assert [key.may("write") for key in (sender, reader, admin)] == [True, False, True]
    assert [key.may("read") for key in (sender, reader, admin)] == [False, True, True]
    assert [key.may("read:restricted") for key in (sender, reader, admin)] == [False, False, True]
    with pytest.raises(KeyFileError, match="roles"):
        create_key(path, "typo", roles=["raed"])


def test_a_key_from_before_there_were_roles_may_send_and_no_more(path: Path) -> None:
    create_key(path, "phones")
    document = json.loads(path.read_text())
    del document["keys"][0]["roles"]
    path.write_text(json.dumps(document))
    (key,) = list_keys(path)
    assert key.may("write")
    assert not key.may("read")


def test_changes_made_at_once_are_all_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = dict(pool.map(lambda n: create_key(path, f"fleet-{n}"), range(24)))
    assert {key.id for key in list_keys(path)} == set(made)
    assert all(KeyStore(path).verify(text) for text in made.values())


def test_the_audit_log_tells_each_change_and_no_secret(path: Path) -> None:
    key_id, text = create_key(path, "phones", ["mobile"])
    new_id, new_text = rotate_key(path, key_id)
    revoke_key(path, key_id)
    revoke_key(path, key_id)
    file = audit_file(path)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["event"], line["key_id"]) for line in lines] == [
        ("created", key_id),
        ("rotated", key_id),
        ("created", new_id),
        ("revoked", key_id),
    ]
    assert lines[1]["successor"] == new_id
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    hidden = [text.split("_", 2)[2], new_text.split("_", 2)[2]]
    hidden += [key.hash for key in list_keys(path)]
    assert not any(secret in file.read_text() for secret in hidden)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hash": "secret"},
        {"created_at": "2026-01-01T00:00:00"},
        {"expires_at": "soon"},
        {"rate_limit": {"events_per_second": -1, "burst_events": 1}},
        {"rate_limit": 5},
    ],
)
def test_a_key_file_with_a_wrong_member_is_refused(path: Path, wrong: dict[str, Any]) -> None:
    create_key(path, "phones")
    document = json.loads(path.read_text())
    document["keys"][0] |= wrong
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileError, match="not an API key file"):
        list_keys(path)
