"""Sealed bodies: only the box that sealed them opens them, and only unchanged."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_contracts.sealing import SealBox, SealBroken

if TYPE_CHECKING:
    from pathlib import Path

BOX = SealBox({1: b"k" * 32})


@given(plain=st.binary())
def test_what_was_sealed_opens_again(plain: bytes) -> None:
    assert BOX.open(BOX.seal(plain)) == plain


@given(plains=st.lists(st.binary(), max_size=20))
def test_what_is_sealed_together_opens_one_by_one_under_nonces_of_its_own(
    plains: list[bytes],
) -> None:
    sealed = BOX.seal_each(plains)
    assert [BOX.open(each) for each in sealed] == plains
    assert len({each[:14] for each in sealed}) == len(plains)


def test_the_same_body_never_seals_the_same_and_is_not_seen_in_it() -> None:
    plain = b"somebody's message"
    one, two = BOX.seal(plain), BOX.seal(plain)
    assert one != two
    assert plain not in one


@given(plain=st.binary(min_size=1, max_size=64), data=st.data())
def test_one_changed_bit_breaks_the_seal(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(BOX.seal(plain))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        BOX.open(bytes(sealed))


@given(length=st.integers(0, 40))
def test_a_cut_value_breaks_the_seal(length: int) -> None:
    with pytest.raises(SealBroken):
        BOX.open(BOX.seal(b"0123456789abcdef")[:length])


def test_a_rotated_box_opens_what_was_sealed_before_and_others_do_not() -> None:
    rotated = SealBox({1: b"k" * 32, 2: b"n" * 32})
    assert rotated.open(BOX.seal(b"x")) == b"x"
    with pytest.raises(SealBroken, match="version 2"):
        BOX.open(rotated.seal(b"x"))
    with pytest.raises(SealBroken):
        SealBox.generate().open(BOX.seal(b"x"))


def test_a_saved_box_is_private_and_loads_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "seal_keys.json"
    BOX.save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert SealBox.from_file(file).open(BOX.seal(b"x")) == b"x"
