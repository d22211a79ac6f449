"""Reads one decoded event by its contract: finds its shape, its fields and their types.

The edge refuses here what cannot be read. What can be read but not believed (ranges, enums,
timeliness) is left to silver, so that it is kept, counted and can be replayed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from telemetry_contracts.contract import (
    DEVICE_ID,
    EVENT_ID,
    EVENT_TIME,
    EXTRAS_KEY,
    SHAPE_KEY,
    Contract,
    Field,
    Shape,
)
from telemetry_contracts.conversions import Converter, Unreadable, converter, scaled
from telemetry_contracts.units import accepted_units

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing

_VERSION_8 = 8


class Violation(NamedTuple):
    """Why an event cannot be read. No part of the event is in it."""

    rule: str
    field: str | None
    message: str


class Reading(NamedTuple):
    """An event that was read.

    Attributes:
        device_id: The device, as text.
        event_time_us: Microseconds since 1970 UTC.
        event_id: The client's id when it is a UUID, else a UUIDv8 made from what identifies the
            event: source, device and either the client's id or the whole payload.
        payload: Canonical flat JSON: tokens for personal values, canonical names and units.
        has_client_id: Whether the client gave the id.
    """

    device_id: str
    event_time_us: int
    event_id: str
    payload: bytes
    has_client_id: bool


class Refusal(NamedTuple):
    """An event that cannot be read, and every reason."""

    violations: tuple[Violation, ...]


@dataclass
class _Leaf:
    """Where one value goes: a slot of the outcome and how to convert it."""

    slot: str
    field: str
    convert: Converter


@dataclass
class _Conditional:
    """A field that a shape carries in a shared value, chosen by another value."""

    field: str
    at: tuple[str, ...]
    when: tuple[tuple[str, ...], str]
    unit_at: tuple[str, ...] | None
    by_unit: dict[str, Converter]
    plain: Converter


@dataclass
class _Plan:
    """A shape, compiled: a trie of keys, fallbacks for slots, conditional fields."""

    shape: Shape
    trie: dict[str, Any] = field(default_factory=dict)
    fallbacks: list[tuple[str, str]] = field(default_factory=list)
    conditionals: list[_Conditional] = field(default_factory=list)
    test: Callable[[dict[str, Any]], bool] = lambda _: False


class EventReader:
    """Reads the events of one source. Build it with `compile_reader`; it is thread-safe."""

    def __init__(self, contract: Contract, plans: list[_Plan]) -> None:
        self.contract = contract
        self._plans = plans
        self._salt = contract.source.encode() + b"\x00"
        self._required = tuple(
            f.name for f in contract.fields if f.required and f.sent and f.name != EVENT_ID
        )

    def read(self, event: object) -> Reading | Refusal:
        """Read one decoded JSON value.

        Returns:
            A `Reading`, or a `Refusal` with all that is wrong.
        """
        if not isinstance(event, dict):
            return _refused("object", None, "expected a JSON object")
        plan = next((plan for plan in self._plans if plan.test(event)), None)
        if plan is None:
            return _refused("shape", None, self._unknown_shape())
        out: dict[str, Any] = {SHAPE_KEY: plan.shape.name}
        extras: dict[str, Any] = {}
        violations: list[Violation] = []
        _walk(event, plan.trie, out, extras, violations)
        if plan.conditionals:
            _choose(plan.conditionals, event, out, extras, violations)
        for slot, target in plan.fallbacks:
            spare = out.pop(slot, None)
            if spare is not None:
                out.setdefault(target, spare)
        return self._finish(out, extras, violations)

    def _finish(
        self, out: dict[str, Any], extras: dict[str, Any], violations: list[Violation]
    ) -> Reading | Refusal:
        refused = {violation.field for violation in violations}
        for name in self._required:
            if name not in out and name not in refused:
                violations.append(Violation("required", name, "expected a value, found none"))
        if violations:
            return Refusal(tuple(violations))
        device_id = out.pop(DEVICE_ID)
        event_time_us = out.pop(EVENT_TIME)
        client_id = out.pop(EVENT_ID, None)
        given = None if client_id is None else _as_uuid(client_id)
        if client_id is not None and given is None:
            extras[EVENT_ID] = client_id
        if extras:
            try:
                out[EXTRAS_KEY] = orjson.dumps(extras, option=orjson.OPT_SORT_KEYS).decode()
            except TypeError:
                return _refused("depth", None, "expected fewer levels of nesting")
        payload = orjson.dumps(out, option=orjson.OPT_SORT_KEYS)
        if given is None:
            content = client_id.encode() if client_id else b"%d\x00%b" % (event_time_us, payload)
            given = derived_event_id(self._salt + device_id.encode() + b"\x00" + content)
        return Reading(device_id, event_time_us, given, payload, client_id is not None)

    def _unknown_shape(self) -> str:
        known = "; ".join(
            f"{plan.shape.name}: " + ", ".join(".".join(path) for path in plan.shape.requires)
            for plan in self._plans
        )
        return f"the event has none of the known shapes, which need these keys: {known}"


def compile_reader(contract: Contract, keyring: KeyRing) -> EventReader:
    """Compile `contract` into a reader that tokenizes with `keyring`."""
    return EventReader(contract, [_plan(contract, shape, keyring) for shape in contract.shapes])


def derived_event_id(content: bytes) -> str:
    """Return a UUIDv8 (RFC 9562, section 5.8) that depends on `content` alone."""
    number = int.from_bytes(blake2b(content, digest_size=16).digest())
    number &= ~(0xF000 << 64) & ~(0xC000 << 48)
    number |= (_VERSION_8 << 76) | (0x8000 << 48)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _plan(contract: Contract, shape: Shape, keyring: KeyRing) -> _Plan:
    plan = _Plan(shape, test=_shape_test(shape))
    for column in contract.fields:
        for rank, path in enumerate(column.paths_in(shape.name)):
            if path.when is not None:
                plan.conditionals.append(_conditional(column, path, keyring))
                continue
            slot = column.name if rank == 0 else f"{column.name}~{rank}"
            if rank:
                plan.fallbacks.append((slot, column.name))
            leaf = _Leaf(slot, column.name, converter(column, path, keyring))
            _insert(plan.trie, path.path, leaf)
    for conditional in plan.conditionals:
        for used in (conditional.at, conditional.when[0], conditional.unit_at):
            if used is not None:
                _insert(plan.trie, used, None)
    return plan


def _conditional(column: Field, path: Any, keyring: KeyRing) -> _Conditional:  # noqa: ANN401
    by_unit = {unit: scaled(change) for unit, change in accepted_units(column.unit).items()}
    return _Conditional(
        field=column.name,
        at=path.path,
        when=path.when,
        unit_at=path.unit_path,
        by_unit=by_unit,
        plain=converter(column, path, keyring),
    )


def _insert(trie: dict[str, Any], path: tuple[str, ...], leaf: _Leaf | None) -> None:
    """Put a leaf at `path`; None marks a path as known without storing it."""
    node = trie
    for key in path[:-1]:
        node = node.setdefault(key, {})
    leaves = node.setdefault(path[-1], ())
    if leaf is not None:
        node[path[-1]] = (*leaves, leaf)


def _shape_test(shape: Shape) -> Callable[[dict[str, Any]], bool]:
    if all(len(path) == 1 for path in shape.requires):
        keys = [path[0] for path in shape.requires]
        return lambda event: all(key in event for key in keys)
    return lambda event: all(_get(event, path) is not None for path in shape.requires)


def _get(event: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401
    for key in path:
        if type(event) is not dict:
            return None
        event = event.get(key)
    return event


def _walk(
    event: dict[str, Any],
    trie: dict[str, Any],
    out: dict[str, Any],
    extras: dict[str, Any],
    violations: list[Violation],
) -> None:
    for key, value in event.items():
        node = trie.get(key)
        if node is None:
            extras[key] = value
        elif value is None:
            continue
        elif type(node) is dict:
            if type(value) is not dict:
                violations.append(Violation("type", key, "expected an object"))
                continue
            inner: dict[str, Any] = {}
            _walk(value, node, out, inner, violations)
            if inner:
                extras[key] = inner
        else:
            for leaf in node:
                try:
                    converted = leaf.convert(value)
                except Unreadable as error:
                    violations.append(Violation(error.rule, leaf.field, error.message))
                    continue
                if converted is not None:
                    out[leaf.slot] = converted


def _choose(
    conditionals: list[_Conditional],
    event: dict[str, Any],
    out: dict[str, Any],
    extras: dict[str, Any],
    violations: list[Violation],
) -> None:
    """Give the shared value to the field it is meant for; an unknown kind goes to the extras."""
    for conditional in conditionals:
        at, wanted = conditional.when
        if _get(event, at) == wanted:
            _take(conditional, event, out, violations)
            return
    for conditional in conditionals:
        for path in (conditional.at, conditional.when[0], conditional.unit_at):
            if path is not None and (value := _get(event, path)) is not None:
                _put(extras, path, value)


def _take(
    conditional: _Conditional,
    event: dict[str, Any],
    out: dict[str, Any],
    violations: list[Violation],
) -> None:
    value = _get(event, conditional.at)
    if value is None:
        return
    convert = conditional.plain
    unit = _get(event, conditional.unit_at) if conditional.unit_at else None
    if unit is not None:
        found = conditional.by_unit.get(unit) if type(unit) is str else None
        if found is None:
            names = ", ".join(sorted(conditional.by_unit))
            message = f"expected one of the units {names}"
            violations.append(Violation("unit", conditional.field, message))
            return
        convert = found
    try:
        converted = convert(value)
    except Unreadable as error:
        violations.append(Violation(error.rule, conditional.field, error.message))
        return
    if converted is not None:
        out[conditional.field] = converted


def _put(target: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value


def _as_uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _refused(rule: str, name: str | None, message: str) -> Refusal:
    return Refusal((Violation(rule, name, message),))
