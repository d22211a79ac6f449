"""Secrets: made once, readable by their owner only."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from telemetry_cli.embedded.secrets import ensure_secrets, read_secrets
from telemetry_cli.errors import CommandError
from telemetry_contracts.sealing import SealBox
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.access_keys.key_store import KeyStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def test_every_file_is_private(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    ensure_secrets(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    names = ("servers", "token_keys", "seal_keys", "api_keys")
    files = [*(f"{name}.json" for name in names), "api_keys.audit.jsonl", "dev_api_key"]
    assert modes == dict.fromkeys(files, 0o600)


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    first = ensure_secrets(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert ensure_secrets(tmp_path) == first == read_secrets(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_files_are_what_their_readers_expect(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    key = KeyStore(tmp_path / "api_keys.json").verify(
        (tmp_path / "dev_api_key").read_text().strip()
    )
    assert key is not None
    assert key.covers("mobile")
    assert key.may("write")
    assert key.may("read")
    assert not key.may("read:restricted")
    assert KeyRing.from_file(tmp_path / "token_keys.json").current_version == 1
    box = SealBox.from_file(tmp_path / "seal_keys.json")
    assert box.open(box.seal(b"body")) == b"body"


def test_a_lost_development_key_is_replaced_and_the_old_one_stays_valid(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    old = (tmp_path / "dev_api_key").read_text().strip()
    (tmp_path / "dev_api_key").unlink()
    ensure_secrets(tmp_path)
    store = KeyStore(tmp_path / "api_keys.json")
    assert store.verify(old)
    assert store.verify((tmp_path / "dev_api_key").read_text().strip())


def test_a_broken_credentials_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text("{")
    with pytest.raises(CommandError, match=r"servers\.json"):
        ensure_secrets(tmp_path)
