"""Reads regular events of one shape many at a time: typed decoding, then column by column.

An event is regular when it has only the shape's own fields, each as the contract types it. What is
regular is read to exactly what `reader` makes of it; anything else is left to `reader`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from telemetry_contracts.canonical import (
    derived_event_id,
    encode_canonical,
    encode_extras,
    given_event_id,
    identifying_content,
)
from telemetry_contracts.contract import (
    DEVICE_ID,
    EVENT_ID,
    EVENT_TIME,
    EXTRAS_KEY,
    IDENTITY_FIELDS,
    SHAPE_KEY,
    Contract,
    Shape,
)
from telemetry_contracts.conversions import Converter, Unreadable
from telemetry_contracts.structs import Leaf, compile_struct

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing

_SCALAR = str | int | float | bool | None
_PLAIN_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Text that is not UTF-8 is a ValueError of its own.
_NOT_REGULAR = (msgspec.MsgspecError, ValueError, RecursionError)


class ReadEvents(NamedTuple):
    """Events that were read, as columns of equal length; `reader.Reading` says what they hold.

    Attributes:
        positions: Place of each event among those that were to be read, from 0.
        device_ids: Only deletions (`corrections`) are of no device.
    """

    positions: Sequence[int]
    device_ids: Sequence[str | None]
    event_times_us: Sequence[int]
    event_ids: Sequence[str]
    payloads: Sequence[bytes]

    def where(self, wanted: Sequence[bool]) -> ReadEvents:
        """Return the events for which `wanted` is true."""
        columns: list[Any] = [list(compress(column, wanted)) for column in self]
        return ReadEvents(*columns)

    def __add__(self, other: tuple[Any, ...]) -> ReadEvents:
        """Return the events of both, in the order of their positions."""
        both: list[list[Any]] = [[*mine, *theirs] for mine, theirs in zip(self, other, strict=True)]
        order = sorted(range(len(both[0])), key=both[0].__getitem__)
        columns: list[Any] = [[column[place] for place in order] for column in both]
        return ReadEvents(*columns)


NO_EVENTS = ReadEvents((), (), (), (), ())


class BulkReader:
    """Reads regular events of a source, whichever of its shapes they have. Thread-safe."""

    def __init__(self, contract: Contract, keyring: KeyRing) -> None:
        self._shapes = [
            _BulkShape(contract, shape, *compiled)
            for position, shape in enumerate(contract.shapes)
            if (compiled := compile_struct(contract, shape, contract.shapes[:position], keyring))
        ]

    def read_array(self, text: bytes) -> tuple[int, ReadEvents] | None:
        """Read a JSON array of events of one shape.

        Returns:
            The number of events and those of them that are regular; None when they must be taken
            apart first.
        """
        return self._read(text, lambda shape: shape.array.decode(text))

    def read_lines(self, text: bytes) -> tuple[int, ReadEvents] | None:
        """Read NDJSON, as `read_array` does an array."""
        return self._read(text, lambda shape: shape.one.decode_lines(text))

    def read_each(self, texts: Sequence[bytes]) -> ReadEvents:
        """Read events of any shape, each a JSON text; return those that are regular."""
        left: Sequence[int] = range(len(texts))
        # Looking once through them all is cheaper than looking at each.
        if _has_nul(b"".join(texts)):
            left = [position for position in left if not _has_nul(texts[position])]
        parts: list[ReadEvents] = []
        for tried, shape in enumerate(self._shapes):
            # An attempt that fails is dear, and without one of its keys it would.
            hopeful = [each for each in left if shape.mark in texts[each]] if tried else left
            positions, events = shape.take(texts, hopeful)
            if events:
                parts.append(shape.columns(events, positions))
                left = sorted(set(left).difference(positions))
            if 2 * len(events) > len(texts):
                self._remember(shape)
        return functools.reduce(ReadEvents.__add__, parts) if parts else NO_EVENTS

    def _read(
        self, text: bytes, decode: Callable[[_BulkShape], list[Any]]
    ) -> tuple[int, ReadEvents] | None:
        for shape in self._shapes:
            try:
                events = decode(shape)
            except _NOT_REGULAR:
                continue
            if _has_nul(text):
                return None
            self._remember(shape)
            return len(events), shape.columns(events, range(len(events)))
        return None

    def _remember(self, shape: _BulkShape) -> None:
        """Try the shape first that fitted last; no event fits two of them."""
        if self._shapes[0] is not shape:
            self._shapes = [shape, *(other for other in self._shapes if other is not shape)]


class _BulkShape:
    """One shape as a typed decoder, and how its values become columns."""

    def __init__(self, contract: Contract, shape: Shape, leaves: list[Leaf], event: Any) -> None:  # noqa: ANN401
        self.array: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[event])
        self.one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(event)
        self._salt = contract.source.encode() + b"\x00"
        self._shape = shape.name
        self.mark = msgspec.json.encode(max((path[-1] for path in shape.requires), key=len))
        self._values = attrgetter(*(leaf.attribute for leaf in leaves))
        self._conversions = [
            (place, leaf.convert) for place, leaf in enumerate(leaves) if leaf.convert
        ]
        self._places: dict[str, list[int]] = {}
        for place, leaf in enumerate(leaves):
            self._places.setdefault(leaf.field.name, []).append(place)
        self._required = [
            f.name for f in contract.fields if f.required and f.sent and f.name != EVENT_ID
        ]
        self._names = sorted(name for name in self._places if name not in IDENTITY_FIELDS)
        self._payload = msgspec.defstruct(
            "Payload",
            [(name, _SCALAR, None) for name in (EXTRAS_KEY, SHAPE_KEY, *self._names)],
            omit_defaults=True,
            gc=False,
        )

    def take(self, texts: Sequence[bytes], positions: Iterable[int]) -> tuple[list[int], list[Any]]:
        """Return which texts are regular events of the shape, and these decoded."""
        decode = self.one.decode
        taken: list[int] = []
        events: list[Any] = []
        for position in positions:
            try:
                events.append(decode(texts[position]))
            except _NOT_REGULAR:
                continue
            taken.append(position)
        return taken, events

    def columns(self, events: list[Any], positions: Sequence[int]) -> ReadEvents:
        """Return what the decoded events say, but for those that turn out not to be regular."""
        if not events:
            return NO_EVENTS
        read: list[Sequence[Any]] = list(zip(*map(self._values, events), strict=True))
        regular = [True] * len(events)
        for place, convert in self._conversions:
            read[place] = _converted(read[place], convert, regular)
        columns: dict[str, Sequence[Any]] = {
            name: _first_of([read[place] for place in places])
            for name, places in self._places.items()
        }
        for name in self._required:
            if None in columns[name]:
                regular = [
                    so_far and value is not None
                    for so_far, value in zip(regular, columns[name], strict=True)
                ]
        if not all(regular):
            positions = list(compress(positions, regular))
            columns = {name: list(compress(column, regular)) for name, column in columns.items()}
        return self._identified(columns, positions)

    def _identified(
        self, columns: dict[str, Sequence[Any]], positions: Sequence[int]
    ) -> ReadEvents:
        devices, times = columns[DEVICE_ID], columns[EVENT_TIME]
        nothing = [None] * len(positions)
        given, extras = self._given_ids(devices, columns.get(EVENT_ID, nothing))
        values = (columns[name] for name in self._names)
        payloads = list(
            map(
                encode_canonical,
                map(self._payload, extras, repeat(self._shape, len(positions)), *values),
            )
        )
        ids = [
            event_id or derived_event_id(identifying_content(self._salt, device, time, payload))
            for event_id, device, time, payload in zip(given, devices, times, payloads, strict=True)
        ]
        return ReadEvents(positions, devices, times, ids, payloads)

    def _given_ids(
        self, devices: Sequence[str], client_ids: Sequence[str | None]
    ) -> tuple[list[str | None], list[str | None]]:
        """Return event ids from the clients' ids, and extras that keep those that are no UUID."""
        given: list[str | None] = []
        extras: list[str | None] = []
        for device, client_id in zip(devices, client_ids, strict=True):
            kept = None
            if client_id is None or _PLAIN_UUID.fullmatch(client_id):
                event_id = client_id
            else:
                event_id = given_event_id(self._salt, device, client_id)
                if event_id != client_id.lower():
                    kept = encode_extras({EVENT_ID: client_id})
            given.append(event_id)
            extras.append(kept)
        return given, extras


def _has_nul(text: bytes) -> bool:
    # `in` takes twice as long: from the left, CPython prepares for needles that are harder.
    return text.rfind(b"\\u0000") >= 0


def _converted(values: Sequence[Any], convert: Converter, regular: list[bool]) -> list[Any]:
    """Convert values; what cannot be converted becomes None and is marked as not regular."""
    try:
        return [None if value is None else convert(value) for value in values]
    except Unreadable:
        return [_convert_or_mark(value, convert, regular, row) for row, value in enumerate(values)]


def _convert_or_mark(value: Any, convert: Converter, regular: list[bool], row: int) -> Any:  # noqa: ANN401
    try:
        return None if value is None else convert(value)
    except Unreadable:
        regular[row] = False
        return None


def _first_of(columns: list[Sequence[Any]]) -> Sequence[Any]:
    """Return, for each event, the value of the first column that has one."""
    first, *spares = columns
    for spare in spares:
        first = [
            other if value is None else value for value, other in zip(first, spare, strict=True)
        ]
    return first
