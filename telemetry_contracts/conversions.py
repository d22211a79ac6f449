"""Turns one JSON value into the type its contract names, or says why it cannot.

A converter takes a value that is not None and returns the converted value; None means that the
value was empty. Range and plausibility are not judged here: silver does that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from telemetry_contracts.contract import Field, FieldPath, LogicalType
from telemetry_contracts.units import IDENTITY, Conversion, conversion

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing

Converter = Callable[[Any], Any]

_MICROSECONDS = 1_000_000
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_INT64_LIMIT = 2**63
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""A time before EARLIEST, or not before LATEST, is a broken clock or another unit."""

_NAIVE_EARLIEST = EARLIEST.replace(tzinfo=None)
_EARLIEST_US = 0
_LATEST_US = int(LATEST.timestamp()) * _MICROSECONDS
MAX_TEXT = 4096
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")


class Unreadable(Exception):
    """A value cannot be read as its contract says. The message never holds the value."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


def to_number(value: Any) -> float | None:  # noqa: ANN401
    """Return a finite float; numeric text is read, empty text is None."""
    kind = type(value)
    if kind is float or kind is int:
        number = value
    elif kind is str:
        text = value.strip()
        if not text:
            return None
        # Python's own notation `1_000` is no number elsewhere.
        number = "" if "_" in text else text
    else:
        raise Unreadable("type", f"expected a number, found {_kind(value)}")
    try:
        number = float(number)
    except ValueError:
        raise Unreadable("type", "expected a number, found other text") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unreadable("type", "expected a finite number")
    return number


def to_integer(value: Any) -> int | None:  # noqa: ANN401
    """Return an integer that fits 64 bits; a fraction is refused rather than cut."""
    # Text is not read by way of a float, which would round it beyond 53 bits.
    if type(value) is int or (type(value) is str and _WHOLE.fullmatch(value.strip())):
        number = int(value)
    else:
        parsed = to_number(value)
        if parsed is None:
            return None
        if not float(parsed).is_integer():
            raise Unreadable("type", "expected a whole number, found a fraction")
        number = int(parsed)
    if not -_INT64_LIMIT <= number < _INT64_LIMIT:
        raise Unreadable("type", "expected a number that fits 64 bits")
    return number


def to_boolean(value: Any) -> bool | None:  # noqa: ANN401
    """Return a truth value; true/false, yes/no, on/off and 1/0 are read."""
    if type(value) is bool:
        return value
    text = str(value).strip().lower() if type(value) in (str, int) else None
    if text == "":
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Unreadable("type", f"expected true or false, found {_kind(value)}")


def to_text(value: Any) -> str | None:  # noqa: ANN401
    """Return text; numbers are written out, empty text is None."""
    kind = type(value)
    if kind is int or kind is float:
        return str(value)
    if kind is not str:
        raise Unreadable("type", f"expected text, found {_kind(value)}")
    if len(value) > MAX_TEXT:
        raise Unreadable("length", f"expected at most {MAX_TEXT} characters")
    if "\x00" in value:
        raise Unreadable("text", "expected text without NUL characters")
    return value or None


def time_reader(time_format: str) -> Converter:
    """Return a converter to microseconds since 1970 UTC; times without a zone are UTC."""
    if time_format == "epoch_seconds":
        return lambda value: _epoch(value, _MICROSECONDS)
    if time_format == "epoch_millis":
        return lambda value: _epoch(value, 1000)
    parse = (
        datetime.fromisoformat
        if time_format == "iso8601"
        else lambda text: datetime.strptime(text, time_format)
    )

    def read(value: Any) -> int | None:  # noqa: ANN401
        if type(value) is not str:
            raise Unreadable("time", f"expected a time as text, found {_kind(value)}")
        text = value.strip()
        if not text:
            return None
        try:
            moment = parse(text)
        except ValueError:
            raise Unreadable("time", f"expected a time written as {time_format}") from None
        elapsed = moment - (_NAIVE_EARLIEST if moment.tzinfo is None else EARLIEST)
        return _sane(
            (elapsed.days * 86_400 + elapsed.seconds) * _MICROSECONDS + elapsed.microseconds
        )

    return read


def converter(  # noqa: PLR0911 - one return a type
    field: Field, path: FieldPath, keyring: KeyRing
) -> Converter:
    """Return what reads `field` at `path`: type, unit, token."""
    match field.logical_type:
        case LogicalType.NUMBER:
            return scaled(conversion(path.unit, field.unit))
        case LogicalType.INTEGER:
            return to_integer
        case LogicalType.BOOLEAN:
            return to_boolean
        case LogicalType.TIMESTAMP:
            return time_reader(path.time_format)
    if field.restricted:
        return _tokenized(keyring)
    if path.prefix:
        return lambda value: None if (text := to_text(value)) is None else path.prefix + text
    return to_text


def scaled(change: Conversion) -> Converter:
    """Return a number converter that applies a unit conversion."""
    if change == IDENTITY:
        return to_number
    factor, offset = change

    def read(value: Any) -> float | None:  # noqa: ANN401
        number = to_number(value)
        if number is None:
            return None
        scaled_number = number * factor + offset
        if not math.isfinite(scaled_number):
            raise Unreadable("type", "expected a finite number")
        return scaled_number

    return read


def _tokenized(keyring: KeyRing) -> Converter:
    def read(value: Any) -> str | None:  # noqa: ANN401
        text = to_text(value)
        return None if text is None else keyring.token(text)

    return read


def _epoch(value: Any, scale: int) -> int | None:  # noqa: ANN401
    number = to_number(value)
    return None if number is None else _sane(number * scale)


def _sane(microseconds: float) -> int:
    if not _EARLIEST_US <= microseconds < _LATEST_US:
        raise Unreadable("time", "expected a time between 1970 and 2200")
    return microseconds if type(microseconds) is int else round(microseconds)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", str: "text"}
    return names.get(type(value), "a number")
