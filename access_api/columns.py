"""Columns of what the API answers: their names, kinds, JSON schema, and examples."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a column holds; the value is the SQL type that a cursor's text is cast to."""

    TEXT = "text"
    INTEGER = "bigint"
    NUMBER = "double precision"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamptz"
    DAY = "date"
    OBJECT = "jsonb"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its name in the answer, and in the relation unless `expression` says otherwise.
        kind: What it holds.
        expression: SQL that computes it.
    """

    name: str
    kind: Kind
    expression: str | None = None

    def schema(self, *, nullable: bool) -> dict[str, Any]:
        """Return the JSON schema of a value."""
        kind: dict[str, Any] = dict(_SCHEMAS[self.kind])
        if nullable:
            kind["type"] = [kind["type"], "null"]
        return kind

    @property
    def example(self) -> object:
        """A value that such a column may have."""
        return _EXAMPLES.get(self.name, _EXAMPLES_BY_KIND[self.kind])


def of_kind(kind: Kind, *names: str) -> tuple[Column, ...]:
    """Return columns of one kind."""
    return tuple(Column(name, kind) for name in names)


_SCHEMAS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.DAY: {"type": "string", "format": "date"},
    Kind.OBJECT: {"type": "object"},
}
_EXAMPLES_BY_KIND: dict[Kind, object] = {
    Kind.TEXT: None,
    Kind.INTEGER: 60,
    Kind.NUMBER: 21.4,
    Kind.BOOLEAN: True,
    Kind.TIMESTAMP: "2026-11-22T10:00:00Z",
    Kind.DAY: "2026-11-22",
    Kind.OBJECT: {"location_id": "kitchen"},
}
_EXAMPLES: dict[str, object] = {
    "event_id": "0f7c2d58-55f1-8a3e-9d0c-1d2f3a4b5c6d",
    "source": "environment",
    "device_id": "kitchen",
    "receipt_id": "rcp_01KAMZ3V9G",
    "shape": "canonical",
    "contract_version": "1.0.0",
    "metric": "temperature_celsius",
    "unit": "degC",
    "sensor_type": "BME280",
    "location_id": "kitchen",
    "age_group": "30 to 39",
    "quality_dimension": "validity",
    "most_broken_rule": "range",
    "device_version_id": "9e107d9d372bb6826bd81d3542a419d6",
    "user_id": "user-0007",
    "session_id": "s-41",
    "device_model": "Pixel 8",
    "app_version": "4.2.0",
    "user_email": "tok_1_mfrggzdfmztwq2lknnwg23tpoa",
    "relative_humidity_percent": 40.2,
    "pressure_hpa": 1013.2,
    "steps": 8421.0,
    "score": 0.998,
    "average": 61.5,
    "valid_to": None,
    "source_file": None,
    "correction_id": None,
    "source_row": None,
}
