"""A shape compiled for reading: which key of an event leads to which converter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from telemetry_contracts.contract import Contract, Field, FieldPath, LogicalType, Shape
from telemetry_contracts.conversions import Converter, converter, scaled
from telemetry_contracts.units import IDENTITY, accepted_units, conversion

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing


@dataclass
class Leaf:
    """Where one value goes: a slot of the outcome and how to convert it.

    Attributes:
        slot: Key of the outcome.
        field: Column of the contract.
        convert: Reads any value.
        plain: The type of values that can be told readable without converting them, if any.
    """

    slot: str
    field: str
    convert: Converter
    plain: LogicalType | None


@dataclass
class Conditional:
    """A field that a shape carries in a shared value, chosen by another value."""

    field: str
    at: tuple[str, ...]
    when: tuple[tuple[str, ...], str]
    unit_at: tuple[str, ...] | None
    by_unit: dict[str, Converter]
    plain: Converter


@dataclass
class Plan:
    """A shape, compiled: a trie of keys, fallbacks for slots, conditional fields."""

    shape: Shape
    trie: dict[str, Any] = field(default_factory=dict)
    fallbacks: list[tuple[str, str]] = field(default_factory=list)
    conditionals: list[Conditional] = field(default_factory=list)
    test: Callable[[dict[str, Any]], bool] = lambda _: False


def compile_shape(contract: Contract, shape: Shape, keyring: KeyRing) -> Plan:
    """Compile one shape of `contract`; personal values are tokenized with `keyring`."""
    plan = Plan(shape, test=_shape_test(shape))
    borrowed: list[tuple[Field, int, FieldPath]] = []
    for column in contract.fields:
        for rank, path in enumerate(column.paths_in(shape.name)):
            if path not in column.paths:
                borrowed.append((column, rank, path))
            elif path.when is None:
                _add_leaf(plan, column, rank, path, keyring)
            else:
                _add_conditional(plan, column, path, path.when, keyring)
    for column, rank, path in borrowed:
        # Where it clashes with the shape's own places, an event that has it is refused anyway.
        if _is_free(plan.trie, path.path):
            _add_leaf(plan, column, rank, path, keyring)
    return plan


def _add_leaf(plan: Plan, column: Field, rank: int, path: FieldPath, keyring: KeyRing) -> None:
    slot = column.name if rank == 0 else f"{column.name}~{rank}"
    if rank:
        plan.fallbacks.append((slot, column.name))
    leaf = Leaf(slot, column.name, converter(column, path, keyring), _plain(column, path))
    _insert(plan.trie, path.path, leaf)


def _plain(column: Field, path: FieldPath) -> LogicalType | None:
    kind = column.logical_type
    if kind is LogicalType.NUMBER and conversion(path.unit, column.unit) != IDENTITY:
        return None
    return None if kind is LogicalType.TIMESTAMP else kind


def _add_conditional(
    plan: Plan, column: Field, path: FieldPath, when: tuple[tuple[str, ...], str], keyring: KeyRing
) -> None:
    conditional = _compile_conditional(column, path, when, keyring)
    plan.conditionals.append(conditional)
    for used in (conditional.at, when[0], conditional.unit_at):
        if used is not None:
            _insert(plan.trie, used, None)


def _compile_conditional(
    column: Field, path: FieldPath, when: tuple[tuple[str, ...], str], keyring: KeyRing
) -> Conditional:
    by_unit = {unit: scaled(change) for unit, change in accepted_units(column.unit).items()}
    return Conditional(
        field=column.name,
        at=path.path,
        when=when,
        unit_at=path.unit_path,
        by_unit=by_unit,
        plain=converter(column, path, keyring),
    )


def _is_free(trie: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Whether no value stands where `path` needs an object, and no object where it ends."""
    node: Any = trie
    for key in path[:-1]:
        node = node.get(key, {})
        if type(node) is not dict:
            return False
    return type(node.get(path[-1])) is not dict


def _insert(trie: dict[str, Any], path: tuple[str, ...], leaf: Leaf | None) -> None:
    """Put a leaf at `path`; None marks a path as known without storing it."""
    node = trie
    for key in path[:-1]:
        node = node.setdefault(key, {})
    leaves = node.setdefault(path[-1], ())
    if leaf is not None:
        node[path[-1]] = (*leaves, leaf)


def _shape_test(shape: Shape) -> Callable[[dict[str, Any]], bool]:
    requires = shape.requires
    if all(len(path) == 1 for path in requires):
        keys = {path[0] for path in requires}
        return lambda event: event.keys() >= keys

    # A loop, because every refused event comes here and a generator costs as much as its work.
    def test(event: dict[str, Any]) -> bool:
        for path in requires:  # noqa: SIM110
            if value_at(event, path) is None:
                return False
        return True

    return test


def value_at(event: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Return what stands at `path` of an event; None when there is nothing."""
    for key in path:
        if type(event) is not dict:
            return None
        event = event.get(key)
    return event
