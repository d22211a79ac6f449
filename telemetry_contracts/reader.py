"""Reads one decoded event by its contract: finds its shape, its fields and their types.

The edge refuses here what cannot be read. What can be read but not believed (ranges, enums,
timeliness) is left to silver, so that it is kept, counted and can be replayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
    SHAPE_KEY,
    Contract,
)
from telemetry_contracts.conversions import Unreadable
from telemetry_contracts.plans import Conditional, Plan, compile_shape, value_at

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing


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


class EventReader:
    """Reads the events of one source. Build it with `compile_reader`; it is thread-safe."""

    def __init__(self, contract: Contract, plans: list[Plan]) -> None:
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
        given = None
        if client_id is not None:
            given = given_event_id(self._salt, device_id, client_id)
            if given != client_id.lower():
                extras[EVENT_ID] = client_id
        if extras:
            try:
                out[EXTRAS_KEY] = encode_extras(extras)
            except Unreadable as error:
                return _refused(error.rule, None, error.message)
        payload = encode_canonical(out)
        if given is None:
            given = derived_event_id(
                identifying_content(self._salt, device_id, event_time_us, payload)
            )
        return Reading(device_id, event_time_us, given, payload, client_id is not None)

    def _unknown_shape(self) -> str:
        known = "; ".join(
            f"{plan.shape.name}: " + ", ".join(".".join(path) for path in plan.shape.requires)
            for plan in self._plans
        )
        return f"the event has none of the known shapes, which need these keys: {known}"


def compile_reader(contract: Contract, keyring: KeyRing) -> EventReader:
    """Compile `contract` into a reader that tokenizes with `keyring`."""
    return EventReader(
        contract, [compile_shape(contract, shape, keyring) for shape in contract.shapes]
    )


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
    conditionals: list[Conditional],
    event: dict[str, Any],
    out: dict[str, Any],
    extras: dict[str, Any],
    violations: list[Violation],
) -> None:
    """Give the shared value to the field it is meant for; an unknown kind goes to the extras."""
    for conditional in conditionals:
        at, wanted = conditional.when
        if value_at(event, at) == wanted:
            _take(conditional, event, out, violations)
            return
    for conditional in conditionals:
        for path in (conditional.at, conditional.when[0], conditional.unit_at):
            if path is not None and (value := value_at(event, path)) is not None:
                _put(extras, path, value)


def _take(
    conditional: Conditional,
    event: dict[str, Any],
    out: dict[str, Any],
    violations: list[Violation],
) -> None:
    value = value_at(event, conditional.at)
    if value is None:
        return
    convert = conditional.plain
    unit = value_at(event, conditional.unit_at) if conditional.unit_at else None
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


def _refused(rule: str, name: str | None, message: str) -> Refusal:
    return Refusal((Violation(rule, name, message),))
