"""Finds the contract that a CSV file's header fits, and where its fields are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telemetry_contracts.contract import Contract, Field, FieldPath, Shape
from telemetry_contracts.csv_encoding import UnreadableFile

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry


@dataclass(frozen=True)
class Layout:
    """How a file's columns are read: the places of each field, best first."""

    contract: Contract
    shape: Shape
    places: tuple[tuple[Field, FieldPath], ...]

    @property
    def column_of(self) -> dict[str, str]:
        """The best column of each field."""
        return {field.name: path.path[0] for field, path in reversed(self.places)}

    @property
    def personal(self) -> set[str]:
        """Columns that hold personal values."""
        return {path.path[0] for field, path in self.places if field.restricted}

    @property
    def score(self) -> int:
        """How many fields the file has."""
        return len(self.column_of)


def match_header(header: Collection[str], registry: Registry, source: str | None) -> Layout:
    """Return how a file with this header is read.

    Args:
        header: Names of the columns, in any order. A column that the contract wants and the shape
            does not require may be missing.
        registry: Contracts to choose from.
        source: Only consider this source's contract.

    Raises:
        UnreadableFile: The header fits no contract, or several.
    """
    named = registry.get(source) if source else None
    contracts = [named] if named else list(registry.values())
    found = []
    for contract in contracts:
        for shape in contract.shapes:
            if all(len(path) == 1 and path[0] in header for path in shape.requires):
                found.append(Layout(contract, shape, _places(contract, shape, header)))
                break
    if not found:
        raise UnreadableFile(_no_match(header, contracts))
    best = max(layout.score for layout in found)
    winners = [layout for layout in found if layout.score == best]
    if len(winners) > 1:
        names = ", ".join(layout.contract.source for layout in winners)
        raise UnreadableFile(f"the columns fit several sources ({names}); use inbox/<source>/")
    return winners[0]


def _no_match(header: Collection[str], contracts: list[Contract]) -> str:
    flat = [
        f"{contract.source} ({', '.join(path[0] for path in shape.requires)})"
        for contract in contracts
        for shape in contract.shapes
        if all(len(path) == 1 for path in shape.requires)
    ]
    known = {path.path[0] for c in contracts for field in c.fields for path in field.paths}
    seen = ", ".join(name for name in header if name in known) or "none"
    return (
        f"line 1 names {len(header)} columns that fit no contract (known among them: {seen}); "
        f"needed are those of one of: {'; '.join(flat)}. The columns of a file without a header "
        "line can be named in a YAML file beside it"
    )


def _places(
    contract: Contract, shape: Shape, header: Collection[str]
) -> tuple[tuple[Field, FieldPath], ...]:
    return tuple(
        (field, path)
        for field in contract.fields
        for path in field.paths_in(shape.name)
        if len(path.path) == 1 and path.when is None and path.path[0] in header
    )
