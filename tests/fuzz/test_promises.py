"""The promises about bodies under hypothesis; `make fuzz` asks the same of many more."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import body, encode
from tests.fuzz.promises import CODINGS, TYPES, Promises

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit

choices = st.tuples(st.integers(0, 2), st.sampled_from(TYPES), st.sampled_from(sorted({*CODINGS})))


@pytest.fixture(scope="module")
def promises(registry: Registry, keyring: KeyRing) -> Promises:
    return Promises(registry, keyring)


@settings(max_examples=100)
@given(choice=choices, random=st.randoms(use_true_random=False))
def test_altered_events_are_read_or_refused_in_full(
    promises: Promises, choice: tuple[int, str, str], random: Random
) -> None:
    source, content_type, coding = choice
    text = body(random, promises.sources[source])
    promises.keep(source, content_type, coding, encode(random, text, coding))


@settings(max_examples=100)
@given(
    choice=choices, sent=st.binary(max_size=200) | st.text(alphabet='{}[]",:1ae \n').map(str.encode)
)
def test_any_bytes_are_read_or_refused_in_full(
    promises: Promises, choice: tuple[int, str, str], sent: bytes
) -> None:
    promises.keep(*choice, sent)
