"""The contract of one source as plain immutable values.

Belongs here: the vocabulary that every other module reads. Loading YAML (`odcs`) and acting on a
contract (`reader`, `rules`, `frames`) do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

EVENT_TIME = "event_time"
DEVICE_ID = "device_id"
EVENT_ID = "event_id"
IDENTITY_FIELDS = (EVENT_ID, DEVICE_ID, EVENT_TIME)

CANONICAL_SHAPE = "canonical"
"""The shape that every source has: column names and synonyms at the top of the event."""

SHAPE_KEY = "_shape"
EXTRAS_KEY = "_extras"
FILE_KEY = "_file"
ROW_KEY = "_row"
CORRECTS_KEY = "_corrects"
"""Payload key of a correction: id of the event that it corrects."""
CORRECTION_KEY = "_correction"
"""Payload key of a correction: `REPLACE` or `DELETE`."""
REPLACE = "replace"
DELETE = "delete"


class ContractError(ValueError):
    """A contract file says something that this system cannot act on."""


class LogicalType(StrEnum):
    """ODCS logical types that device fields use."""

    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"


class Severity(StrEnum):
    """What becomes of a row that breaks a rule."""

    ERROR = "error"
    """It goes to quarantine."""
    WARNING = "warning"
    """It stays in silver, and is counted."""


@dataclass(frozen=True)
class DeclaredRule:
    """A rule that the contract states in ODCS `quality`, read and checked by `quality`.

    Attributes:
        kind: One of `telemetry_contracts.quality.Kind`.
        field: Field that it is about; None for a rule over several.
        severity: Whether it refuses rows or counts them.
        arguments: Of the kind: names of fields, numbers, durations.
    """

    kind: str
    field: str | None
    severity: Severity
    arguments: dict[str, Any]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of all fields that it looks at, its own first."""
        own = () if self.field is None else (self.field,)
        others = [self.arguments.get("to"), self.arguments.get("with")]
        named = tuple(other for other in others if isinstance(other, str))
        return (*own, *named, *self.arguments.get("fields", ()))

    @property
    def name(self) -> str:
        """Stable identifier, such as `compare.opened_at.closed_at`."""
        constant = self.arguments.get("to")
        tail = () if constant is None or isinstance(constant, str) else (f"{constant:g}",)
        return ".".join((self.kind, *self.fields, *tail))


@dataclass(frozen=True)
class FieldPath:
    """Where one shape keeps a field.

    Attributes:
        shape: Name of the shape the path belongs to.
        path: Keys from the top of the event to the value.
        unit: Unit of the value there; None when it is already canonical.
        unit_path: Where the event itself names the unit, for shapes that do.
        when: (path, value) that must hold, for shapes that carry one measurement an event.
        time_format: `iso8601`, `epoch_seconds`, `epoch_millis` or a strptime pattern.
        prefix: Text put before the value, to keep borrowed identifiers apart.
    """

    shape: str
    path: tuple[str, ...]
    unit: str | None = None
    unit_path: tuple[str, ...] | None = None
    when: tuple[tuple[str, ...], str] | None = None
    time_format: str = "iso8601"
    prefix: str = ""


@dataclass(frozen=True)
class Derivation:
    """How silver computes a field that no device sends.

    Attributes:
        function: Name in `telemetry_assets.lakehouse.enrichment.FUNCTIONS`.
        arguments: Keyword arguments of that function: field names or constants.
    """

    function: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One canonical column of a source.

    Attributes:
        pattern: Regular expression that text must have a match of somewhere.
        min_length: Characters that text must have at least.
        max_length: Characters that text may have at most.
        zoned: Whether a timestamp is a moment; otherwise it is what a clock on the wall shows.
    """

    name: str
    logical_type: LogicalType
    description: str
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    zoned: bool = True
    unit: str | None = None
    restricted: bool = False
    metric: bool = False
    device_attribute: bool = False
    paths: tuple[FieldPath, ...] = ()
    derivation: Derivation | None = None
    examples: tuple[Any, ...] = ()

    @property
    def sent(self) -> bool:
        """Whether devices send it, as opposed to silver deriving it."""
        return self.derivation is None

    @property
    def former_names(self) -> tuple[str, ...]:
        """Synonyms: names under which events landed before the field was renamed, too."""
        places = [path.path for path in self.paths if path.shape == CANONICAL_SHAPE]
        return tuple(p[0] for p in places if len(p) == 1 and p[0] != self.name)

    def paths_in(self, shape: str) -> tuple[FieldPath, ...]:
        """Return where an event of `shape` may keep the field, best place first.

        A personal field is looked for wherever any shape keeps it, so that no plain value ends up
        among the unknown fields; a client's event id counts in every shape by its column name.
        """
        own = [path for path in self.paths if path.shape == shape]
        if self.restricted:
            borrowed = self.paths
        elif self.name == EVENT_ID:
            borrowed = tuple(path for path in self.paths if path.shape == CANONICAL_SHAPE)
        else:
            borrowed = ()
        taken = {path.path for path in own}
        for path in borrowed:
            if path.path not in taken and path.when is None:
                taken.add(path.path)
                own.append(replace(path, shape=shape))
        return tuple(own)


@dataclass(frozen=True)
class Shape:
    """One vendor's way to write the events of a source.

    An event has the shape when every path in `requires` is present. Shapes are tried in order.
    """

    name: str
    requires: tuple[tuple[str, ...], ...]
    description: str = ""


@dataclass(frozen=True)
class Contract:
    """What the devices of one source may send, and how long it is kept."""

    source: str
    version: str
    description: str
    fields: tuple[Field, ...]
    shapes: tuple[Shape, ...]
    at_least_one: tuple[str, ...] = ()
    rules: tuple[DeclaredRule, ...] = ()
    dedup_window: timedelta = timedelta(days=7)
    max_lateness: timedelta | None = None
    max_future: timedelta = timedelta(minutes=10)
    retention: timedelta | None = None
    freshness: timedelta | None = None
    quality_thresholds: tuple[tuple[str, float], ...] = ()

    @property
    def identity(self) -> tuple[Field, ...]:
        """Event id, device id and event time, in that order."""
        return tuple(self.field(name) for name in IDENTITY_FIELDS)

    @property
    def columns(self) -> tuple[Field, ...]:
        """Fields beside the identity, in contract order."""
        return tuple(field for field in self.fields if field.name not in IDENTITY_FIELDS)

    @property
    def sent_columns(self) -> tuple[Field, ...]:
        """Columns that devices send."""
        return tuple(field for field in self.columns if field.sent)

    @property
    def metrics(self) -> tuple[Field, ...]:
        """Numeric columns that gold aggregates by minute."""
        return tuple(field for field in self.columns if field.metric)

    @property
    def asks_registry(self) -> bool:
        """Whether silver needs the registry of devices, for a rule or a derived field."""
        derived = (f.derivation.function for f in self.fields if f.derivation is not None)
        return "registered" in derived or any(rule.kind == "registered" for rule in self.rules)

    @property
    def warns(self) -> bool:
        """Whether any rule only warns."""
        return any(rule.severity is Severity.WARNING for rule in self.rules)

    @property
    def device_attributes(self) -> tuple[Field, ...]:
        """Columns that describe the device rather than the moment."""
        return tuple(field for field in self.columns if field.device_attribute)

    def field(self, name: str) -> Field:
        """Return the field called `name`.

        Raises:
            ContractError: The contract has no such field.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise ContractError(f"contract {self.source!r} has no field {name!r}")
