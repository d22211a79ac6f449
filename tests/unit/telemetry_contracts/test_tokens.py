"""Tokens: the same value gives the same token, and only the key can say which value it was."""

from __future__ import annotations

import stat
from base64 import b32decode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_contracts.tokens import KeyRing

if TYPE_CHECKING:
    from pathlib import Path


def digest_of(token: str) -> str:
    encoded = token.rsplit("_", 1)[1].upper()
    return b32decode(encoded + "=" * (-len(encoded) % 8)).hex()


@pytest.mark.parametrize(
    ("key", "value", "digest"),
    [
        (b"\x0b" * 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b"),
        (b"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"),
        (
            b"\xaa" * 131,
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f",
        ),
    ],
)
def test_a_token_is_hmac_sha256_of_rfc_4231_cut_to_128_bits(
    key: bytes, value: str, digest: str
) -> None:
    assert digest_of(KeyRing({1: key}).token(value)) == digest


@given(value=st.text())
def test_a_token_is_deterministic_and_never_holds_the_value(keyring: KeyRing, value: str) -> None:
    token = keyring.token(value)
    assert token == keyring.token(value) == keyring.token_under(value, 1)
    assert token.startswith("tok_1_")
    assert len(token) == len("tok_1_") + 26


def test_the_highest_key_makes_new_tokens_and_older_ones_find_old_rows() -> None:
    before = KeyRing({1: b"a" * 32})
    rotated = KeyRing({1: b"a" * 32, 3: b"b" * 32})
    assert rotated.current_version == 3
    assert rotated.versions == (1, 3)
    assert rotated.token("home").startswith("tok_3_")
    assert rotated.token_under("home", 1) == before.token("home")


def test_other_keys_give_other_tokens() -> None:
    assert KeyRing.generate().token("home") != KeyRing.generate().token("home")


def test_a_ring_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        KeyRing({})


def test_a_saved_ring_is_private_and_loads_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "token_keys.json"
    ring = KeyRing({1: b"a" * 32, 2: b"b" * 32})
    ring.save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert KeyRing.from_file(file).token("x") == ring.token("x")


def test_saving_again_keeps_the_file_private_whatever_it_was(tmp_path: Path) -> None:
    file = tmp_path / "token_keys.json"
    file.write_text("{}")
    file.chmod(0o644)
    KeyRing.generate().save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "[]", '"keys"', '{"one": "AA=="}', '{"1": "?"}', "{}"])
def test_what_is_no_key_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token_keys.json"
    file.write_text(content)
    with pytest.raises(ValueError):
        KeyRing.from_file(file)
