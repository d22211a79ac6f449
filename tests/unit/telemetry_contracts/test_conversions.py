"""Conversions: what is read, what is refused, and that no refusal repeats the value."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_contracts.conversions import (
    MAX_TEXT,
    Converter,
    Unreadable,
    scaled,
    time_reader,
    to_boolean,
    to_integer,
    to_number,
    to_text,
)
from telemetry_contracts.units import Conversion

CONVERTERS: dict[str, Converter] = {
    "number": to_number,
    "integer": to_integer,
    "boolean": to_boolean,
    "text": to_text,
    "iso8601": time_reader("iso8601"),
    "epoch_seconds": time_reader("epoch_seconds"),
    "epoch_millis": time_reader("epoch_millis"),
    "pattern": time_reader("%d/%m/%Y %H:%M"),
    "ratio": scaled(Conversion(100.0, 0.0)),
}
anything = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just(10**400)
    | st.just("9" * 400)
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.integers())
)


@given(name=st.sampled_from(sorted(CONVERTERS)), value=anything)
def test_every_value_is_converted_or_unreadable(name: str, value: Any) -> None:
    try:
        found = CONVERTERS[name](value)
    except Unreadable as error:
        assert error.rule in {"type", "time", "length", "text"}
        return
    assert not isinstance(found, float) or math.isfinite(found)


@given(value=st.text("qwxz", min_size=8))
@pytest.mark.parametrize("name", sorted(set(CONVERTERS) - {"text"}))
def test_a_refusal_does_not_repeat_the_value(name: str, value: str) -> None:
    with pytest.raises(Unreadable) as refused:
        CONVERTERS[name](value)
    assert value not in refused.value.message


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (1.5, 1.5), (" 1.5 ", 1.5), ("-2e3", -2000.0), ("", None), ("  ", None), ("٣", 3.0)],
)
def test_numbers(value: Any, number: float | None) -> None:
    assert to_number(value) == number


@pytest.mark.parametrize(
    "value", [True, "NaN", "inf", "1e999", math.nan, "1,5", "1_0", "0x1", [1], {}]
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(Unreadable):
        to_number(value)


@given(number=st.integers(-(2**63), 2**63 - 1))
def test_a_whole_number_keeps_every_digit_as_number_and_as_text(number: int) -> None:
    assert to_integer(number) == to_integer(str(number)) == number


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, str(2**63), 1.5, "1.5", 1e300, True])
def test_what_is_no_64_bit_integer(value: Any) -> None:
    with pytest.raises(Unreadable):
        to_integer(value)


@pytest.mark.parametrize(
    ("value", "truth"),
    [(True, True), (0, False), ("YES", True), (" off ", False), ("1", True), ("", None)],
)
def test_truth_values(value: Any, truth: bool | None) -> None:
    assert to_boolean(value) is truth


@pytest.mark.parametrize("value", [2, "maybe", 1.0, [], {}])
def test_what_is_no_truth_value(value: Any) -> None:
    with pytest.raises(Unreadable):
        to_boolean(value)


def test_text_is_kept_and_numbers_are_written_out() -> None:
    assert to_text(" ä ") == " ä "
    assert to_text(7) == "7"
    assert to_text("") is None
    assert to_text("x" * MAX_TEXT) == "x" * MAX_TEXT


@pytest.mark.parametrize("value", ["x" * (MAX_TEXT + 1), "a\x00b", True, ["a"], {"a": 1}])
def test_what_is_no_text(value: Any) -> None:
    with pytest.raises(Unreadable):
        to_text(value)


def test_each_time_format_reads_its_own() -> None:
    noon = 1_460_462_400_000_000
    assert CONVERTERS["pattern"]("12/04/2016 12:00") == noon
    assert CONVERTERS["epoch_seconds"](1_460_462_400) == noon
    assert CONVERTERS["epoch_millis"]("1460462400000") == noon
    assert CONVERTERS["iso8601"]("2016-04-12T14:00+02:00") == noon
    assert time_reader("%m/%d/%Y %I:%M:%S %p")("4/12/2016 12:00:00 PM") == noon
