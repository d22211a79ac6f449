"""Reads one decoded event by its contract: finds its shape, its fields and their types.

The edge refuses here what cannot be read. What can be read but not believed (ranges, enums,
timeliness) is left to silver, so that it is kept, counted and can be replayed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

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
from telemetry_contracts.violations import Examiner, Violation, missing, no_object

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing

# For fewer events, setting out to look at columns costs more than it saves.
_MANY = 3


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


@functools.lru_cache(maxsize=1024)
def as_json(refusal: Refusal) -> str:
    """Return the violations as a JSON array.

    They hold no part of an event, so a refusal is like many others and is written out once.
    """
    return orjson.dumps([violation._asdict() for violation in refusal.violations]).decode()


class EventReader:
    """Reads the events of one source. Build it with `compile_reader`; it is thread-safe."""

    def __init__(self, contract: Contract, plans: list[Plan]) -> None:
        self.contract = contract
        self._plans = plans
        self._salt = contract.source.encode() + b"\x00"
        self._required = tuple(
            f.name for f in contract.fields if f.required and f.sent and f.name != EVENT_ID
        )
        self._examiners: dict[str, Examiner] = {}
        self._refused_lately: set[str] = set()
        self._no_object = _refused("object", None, "expected a JSON object")
        self._no_shape = _refused("shape", None, self._unknown_shape())

    def read(self, event: object) -> Reading | Refusal:
        """Read one decoded JSON value.

        Returns:
            A `Reading`, or a `Refusal` with all that is wrong.
        """
        return self.read_each((event,))[0]

    def read_each(self, events: Sequence[Any]) -> list[Reading | Refusal]:
        """Read decoded JSON values, each as `read` does.

        Many refused events of one shape are cheaper here: what is wrong with them is looked for
        column by column. Events that are read cost the same.
        """
        outcomes: list[Reading | Refusal] = [self._no_shape] * len(events)
        shapes: list[list[int]] = [[] for _ in self._plans]
        for place, event in enumerate(events):
            if not isinstance(event, dict):
                outcomes[place] = self._no_object
                continue
            for plan, places in zip(self._plans, shapes, strict=True):
                if plan.test(event):
                    places.append(place)
                    break
        for plan, places in zip(self._plans, shapes, strict=True):
            if places:
                same = cast("list[dict[str, Any]]", [events[place] for place in places])
                for place, outcome in zip(places, self._read_same(plan, same), strict=True):
                    outcomes[place] = outcome
        return outcomes

    def _read_same(self, plan: Plan, events: list[dict[str, Any]]) -> list[Reading | Refusal]:
        """Read events of one shape; after a refusal, more are expected."""
        expected = plan.shape.name in self._refused_lately
        if expected and len(events) >= _MANY and not plan.conditionals:
            found = self._examiner(plan).examine(events)
            outcomes = [
                Refusal(violations) if violations else self._read_by(plan, event)
                for event, violations in zip(events, found, strict=True)
            ]
        else:
            outcomes = [self._read_by(plan, event) for event in events]
        if any(isinstance(outcome, Refusal) for outcome in outcomes):
            self._refused_lately.add(plan.shape.name)
        else:
            self._refused_lately.discard(plan.shape.name)
        return outcomes

    def _examiner(self, plan: Plan) -> Examiner:
        name = plan.shape.name
        if name not in self._examiners:
            self._examiners[name] = Examiner(plan.trie, self._required)
        return self._examiners[name]

    def _read_by(self, plan: Plan, event: dict[str, Any]) -> Reading | Refusal:
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
                violations.append(missing(name))
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
                violations.append(no_object(key))
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
