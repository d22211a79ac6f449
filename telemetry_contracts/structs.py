"""A shape as a typed decoder of its regular events.

The decoder knows every key of the shape and its type and refuses all else, so that whatever it
takes needs no further look at types.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from telemetry_contracts.contract import (
    CANONICAL_SHAPE,
    DEVICE_ID,
    EVENT_ID,
    EVENT_TIME,
    Contract,
    Field,
    FieldPath,
    LogicalType,
    Shape,
)
from telemetry_contracts.conversions import MAX_TEXT, Converter, converter
from telemetry_contracts.units import IDENTITY, conversion

if TYPE_CHECKING:
    from telemetry_contracts.tokens import KeyRing

_TEXT = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


@dataclass
class Leaf:
    """A value of an event: its field, what is done to it, and where the decoded event has it."""

    field: Field
    kind: Any
    convert: Converter | None
    attribute: str = ""


@dataclass
class _Node:
    """An object of a shape: its keys, and which of them must be there."""

    children: dict[str, _Node | list[Leaf]] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)


def compile_struct(
    contract: Contract, shape: Shape, earlier: tuple[Shape, ...], keyring: KeyRing
) -> tuple[list[Leaf], Any] | None:
    """Return the values of a shape's regular events and the `msgspec.Struct` that decodes them.

    Args:
        contract: The contract.
        shape: One of its shapes.
        earlier: The shapes that are tried before it; a regular event has none of them.
        keyring: Tokenizes personal values.

    Returns:
        None when the shape needs choices that only `reader` makes.
    """
    root = _Node()
    leaves: list[Leaf] = []
    for column in contract.fields:
        for path in _own_paths(column, shape):
            leaf = Leaf(column, *_kind(column, path, keyring))
            if path.when is not None or not _insert(root, path.path, leaf):
                return None
            leaves.append(leaf)
    found = {leaf.field.name for leaf in leaves}
    needed = {f.name for f in contract.fields if f.required and f.sent} - {EVENT_ID}
    if not needed | {DEVICE_ID, EVENT_TIME} <= found:
        return None
    if not all(_require(root, path) for path in shape.requires):
        return None
    if any(all(_knows(root, path) for path in other.requires) for other in earlier):
        return None
    return leaves, _struct(root, "")


def _own_paths(column: Field, shape: Shape) -> list[FieldPath]:
    """Return the places the contract gives the field in this shape; best first."""
    own = [path for path in column.paths if path.shape == shape.name]
    if column.name == EVENT_ID:
        taken = {path.path for path in own}
        own += [
            path
            for path in column.paths
            if path.shape == CANONICAL_SHAPE and path.path not in taken
        ]
    return own


def _kind(  # noqa: PLR0911 - one return a type
    column: Field, path: FieldPath, keyring: KeyRing
) -> tuple[Any, Converter | None]:
    """Return the type to decode and the conversion that is left to do."""
    match column.logical_type:
        case LogicalType.NUMBER:
            same = conversion(path.unit, column.unit) == IDENTITY
            return float, None if same else converter(column, path, keyring)
        case LogicalType.INTEGER:
            return _INTEGER, None
        case LogicalType.BOOLEAN:
            return bool, None
        case LogicalType.TIMESTAMP:
            is_number = path.time_format.startswith("epoch_")
            return float if is_number else str, converter(column, path, keyring)
    if column.restricted:
        return _TEXT, keyring.token
    if column.name == DEVICE_ID and not path.prefix:
        return _TEXT | _INTEGER, str
    return _TEXT, converter(column, path, keyring) if path.prefix else None


def _insert(root: _Node, path: tuple[str, ...], leaf: Leaf) -> bool:
    """Put a leaf at `path`; False when another type or an object stands there."""
    node = root
    for key in path[:-1]:
        child = node.children.setdefault(key, _Node())
        if not isinstance(child, _Node):
            return False
        node = child
    there = node.children.setdefault(path[-1], [])
    if not isinstance(there, list) or any(other.kind != leaf.kind for other in there):
        return False
    there.append(leaf)
    return True


def _require(root: _Node, path: tuple[str, ...]) -> bool:
    """Note that events of the shape have `path`; False when the shape has no such field."""
    node: _Node | list[Leaf] | None = root
    for key in path:
        if not isinstance(node, _Node) or key not in node.children:
            return False
        node.required.add(key)
        node = node.children[key]
    return True


def _knows(root: _Node, path: tuple[str, ...]) -> bool:
    """Whether an event with a value at `path` can be one of this shape."""
    node: _Node | list[Leaf] | None = root
    for key in path:
        if not isinstance(node, _Node):
            return False
        node = node.children.get(key)
    return node is not None


def _struct(node: _Node, prefix: str) -> Any:  # noqa: ANN401
    """Return the type of an object, and note in its leaves where their values will be."""
    fields: list[Any] = []
    names: dict[str, str] = {}
    for number, (key, child) in enumerate(node.children.items()):
        name = f"value{number}"
        names[name] = key
        required = key in node.required
        if isinstance(child, _Node):
            kind = _struct(child, f"{prefix}{name}.")
            fields.append((name, kind) if child.required or required else (name, kind, kind()))
            continue
        for leaf in child:
            leaf.attribute = prefix + name
        kind = child[0].kind
        fields.append((name, kind) if required else (name, kind | None, None))
    return msgspec.defstruct(
        "Object",
        fields,
        rename=names,
        kw_only=True,
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
    )
