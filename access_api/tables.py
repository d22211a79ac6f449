"""What stands in the catalog: each table of the lake and each mart, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from access_api.datasets import DATASETS, MART_SOURCES, Dataset
from telemetry_platform.access_keys.api_key import ALL_SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemetry_platform.access_keys.api_key import ApiKey

MARTS = "marts"


@dataclass(frozen=True)
class TableColumn:
    """A column as the catalog shows it.

    Attributes:
        type: In the words of the store that has it.
        limits: What the contract demands of a value, in words.
    """

    name: str
    type: str
    description: str
    unit: str | None = None
    restricted: bool = False
    limits: str = ""


@dataclass(frozen=True)
class CatalogTable:
    """A table.

    Attributes:
        layer: `marts`, or a layer of the lake.
        sources: Sources whose events it holds; those of all contracts when it mixes them.
        mixed: Whether a column `source` tells whose event a row is.
        rows: How many there are, None when nobody knows.
        rows_told: Where that number is from.
        place: Where it lies.
        loaded_as: The table of schema `warehouse` that copies it, if any.
    """

    layer: str
    name: str
    description: str
    columns: tuple[TableColumn, ...]
    sources: tuple[str, ...]
    mixed: bool
    rows: int | None
    rows_told: str
    place: str
    loaded_as: str | None = None

    @property
    def key(self) -> str:
        """Its name in the asset graph, such as `marts/fct_events`."""
        return f"{self.layer}/{self.name}"

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """What the API reads it as."""
        return tuple(d for d in DATASETS if self.layer == MARTS and d.mart == self.name)

    @property
    def restricted(self) -> tuple[str, ...]:
        """Names of the columns that hold tokens."""
        return tuple(column.name for column in self.columns if column.restricted)

    def of_sources(self, sources: Iterable[str]) -> CatalogTable:
        """Return the mart with the sources that it is made of, as far as they are settled."""
        known = tuple(sources) if self.mixed else MART_SOURCES.get(self.name, ())
        return replace(self, sources=known)

    def needs(self) -> tuple[str, ...]:
        """Return the sources that a key must cover to see it at all.

        Rows of a mixed table are chosen by the key. A mart whose sources nobody has settled, such
        as that of people, is for keys that cover all.
        """
        if self.mixed or (self.layer != MARTS and len(self.sources) != 1):
            return ()
        if self.layer != MARTS:
            return self.sources
        return MART_SOURCES.get(self.name, (ALL_SOURCES,))

    def seen_by(self, key: ApiKey) -> bool:
        """Whether the key may see it."""
        return all(map(key.covers, self.needs()))

    def matches(self, words: list[str]) -> bool:
        """Whether each word stands in its name, its description, or a column's."""
        texts = [self.key, self.description]
        texts += [text for column in self.columns for text in (column.name, column.description)]
        text = "\n".join(texts).casefold()
        return all(word in text for word in words)

    def matching_columns(self, words: list[str]) -> tuple[str, ...]:
        """Return the names of the columns that some word stands in."""
        return tuple(
            column.name
            for column in self.columns
            if any(w in f"{column.name}\n{column.description}".casefold() for w in words)
        )
