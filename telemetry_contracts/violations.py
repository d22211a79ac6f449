"""Why an event cannot be read, and the search for it in many events of one shape at once.

Finds exactly what `reader` finds when it reads an event, but makes no reading: no tokens, no
payload. It goes column by column, for what all values of a column have in common costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from telemetry_contracts.contract import LogicalType
from telemetry_contracts.conversions import MAX_TEXT, Unreadable, to_text

if TYPE_CHECKING:
    from telemetry_contracts.plans import Leaf

_LARGE = 2**63

Path = tuple[str, ...]


class Violation(NamedTuple):
    """Why an event cannot be read. No part of the event is in it."""

    rule: str
    field: str | None
    message: str


def missing(field: str) -> Violation:
    """Return the violation of a required field without a value."""
    return Violation("required", field, "expected a value, found none")


def no_object(key: str) -> Violation:
    """Return the violation of a value where a shape has an object."""
    return Violation("type", key, "expected an object")


class Examiner:
    """Examines events of one shape. Thread-safe."""

    def __init__(self, trie: dict[str, Any], required: Sequence[str]) -> None:
        """Prepare for a shape.

        Args:
            trie: Of the shape's plan, which has no conditional fields.
            required: Fields that every event must have.
        """
        self._event = _Object(trie, ())
        self._required = required

    def examine(self, events: Sequence[dict[str, Any]]) -> list[tuple[Violation, ...]]:
        """Return, for each decoded event, everything that keeps it from being read."""
        struct = self._event.struct
        search = _Search(len(events), self._required)
        if events:
            search.visit(self._event, [msgspec.convert(event, struct) for event in events])
        return search.violations(events)


class _Value:
    """A value of an event and one thing it is read as."""

    def __init__(self, leaf: Leaf, path: Path) -> None:
        self.path = path
        self.field = leaf.field
        # Text is checked without making tokens of it.
        self.convert = to_text if leaf.plain is LogicalType.STRING else leaf.convert
        self.kinds, self.are_plain = _PLAIN.get(leaf.plain, (frozenset(), _never))


class _Object:
    """An object of a shape, as a struct that takes whatever stands at the shape's keys.

    Attributes:
        path: Keys from the top of the event.
        fields: What each field of the struct holds: an object, or a value to be read.
        struct: Its values can be had all at once, those of a dictionary only one by one.
    """

    def __init__(self, trie: dict[str, Any], path: Path) -> None:
        self.path = path
        self.fields: list[_Object | list[_Value]] = []
        kinds: list[Any] = []
        for key, node in trie.items():
            here = (*path, key)
            if type(node) is dict:
                inner = _Object(node, here)
                self.fields.append(inner)
                kinds.append(inner.struct | str | int | float | bool | list[Any] | None)
            else:
                self.fields.append([_Value(leaf, here) for leaf in node])
                kinds.append(Any)
        self.struct = msgspec.defstruct(
            "Object",
            [(f"value{number}", kind, None) for number, kind in enumerate(kinds)],
            rename={f"value{number}": key for number, key in enumerate(trie)},
            frozen=True,
            gc=False,
        )
        self.empty = self.struct()


class _Search:
    """What was found so far, by row."""

    def __init__(self, rows: int, required: Sequence[str]) -> None:
        self._found: dict[int, list[tuple[Path, Violation]]] = {}
        self._absent = {name: [True] * rows for name in required}

    def violations(self, events: Sequence[dict[str, Any]]) -> list[tuple[Violation, ...]]:
        """Return each event's violations in the order of its keys, then what it lacks."""
        violations: list[tuple[Violation, ...]] = [()] * len(events)
        for row, found in self._found.items():
            if len(found) > 1:
                found.sort(key=lambda each, row=row: _place(events[row], each[0]))
            violations[row] = tuple([violation for _, violation in found])
        for name, absent in self._absent.items():
            for row in compress(range(len(events)), absent):
                if all(violation.field != name for violation in violations[row]):
                    violations[row] += (missing(name),)
        return violations

    def visit(self, visited: _Object, structs: Sequence[Any]) -> None:
        """Look at all values of one object, given one struct a row."""
        columns = zip(*map(msgspec.structs.astuple, structs), strict=True)
        for field, values in zip(visited.fields, columns, strict=True):
            kinds = set(map(type, values))
            if kinds == _NOTHING:
                continue
            if isinstance(field, _Object):
                self.visit(field, self._objects(field, values, kinds))
                continue
            for value in field:
                self._check(value, values, kinds)

    def _objects(self, field: _Object, values: Sequence[Any], kinds: set[type]) -> Sequence[Any]:
        if kinds == {field.struct}:
            return values
        for row, value in enumerate(values):
            if value is not None and type(value) is not field.struct:
                self._note(row, field.path, no_object(field.path[-1]))
        return [value if type(value) is field.struct else field.empty for value in values]

    def _check(self, value: _Value, values: Sequence[Any], kinds: set[type]) -> None:
        if not (kinds <= value.kinds and value.are_plain(values)):
            values = self._converted(value, values)
        absent = self._absent.get(value.field)
        if absent is not None:
            self._absent[value.field] = [
                so_far and (found is None or found == "")
                for so_far, found in zip(absent, values, strict=True)
            ]

    def _converted(self, value: _Value, values: Sequence[Any]) -> list[Any]:
        convert = value.convert
        converted = []
        # What devices cannot tell they write alike, and an exception is dear.
        known: dict[str, Violation] = {}
        for row, each in enumerate(values):
            found = None
            if type(each) is str and each in known:
                self._note(row, value.path, known[each])
            elif each is not None:
                try:
                    found = convert(each)
                except Unreadable as error:
                    violation = Violation(error.rule, value.field, error.message)
                    self._note(row, value.path, violation)
                    if type(each) is str:
                        known[each] = violation
            converted.append(found)
        return converted

    def _note(self, row: int, path: Path, violation: Violation) -> None:
        self._found.setdefault(row, []).append((path, violation))


def _place(event: dict[str, Any], path: Path) -> list[int]:
    """Return where a path stands in an event, such that places sort as a reader meets them."""
    place = []
    for key in path:
        place.append(list(event).index(key))
        event = event[key]
    return place


def _texts_are_plain(values: Sequence[str | None]) -> bool:
    there = list(filter(None, values))
    joined = "".join(there)
    fit = len(joined) <= MAX_TEXT or max(map(len, there)) <= MAX_TEXT
    return fit and "\x00" not in joined


def _numbers_are_plain(values: Sequence[float | None]) -> bool:
    """Whether all are within 64 bits, which is neither too large nor a NaN for any type."""
    return all(value is None or -_LARGE < value < _LARGE for value in values)


def _always(_: Sequence[Any]) -> bool:
    return True


def _never(_: Sequence[Any]) -> bool:
    return False


_NOTHING = {type(None)}
_PLAIN: dict[LogicalType | None, tuple[frozenset[type], Callable[[Sequence[Any]], bool]]] = {
    LogicalType.STRING: (frozenset({str, *_NOTHING}), _texts_are_plain),
    LogicalType.NUMBER: (frozenset({float, int, *_NOTHING}), _numbers_are_plain),
    LogicalType.INTEGER: (frozenset({int, *_NOTHING}), _numbers_are_plain),
    LogicalType.BOOLEAN: (frozenset({bool, *_NOTHING}), _always),
}
"""Types whose values are readable, and a test of values that have them."""
