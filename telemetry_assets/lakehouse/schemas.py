"""Pandera schemas of silver, built from contracts: the declared shape that checks hold it to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry_contracts.contract import Field
from telemetry_contracts.frames import silver_schema

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

    from telemetry_contracts.contract import Contract

_IDENTITY = frozenset({"event_id", "source", "device_id", "event_time", "received_at"})


def silver_model(contract: Contract) -> pa.DataFrameSchema:
    """Return the pandera schema of `silver/<source>`.

    It holds dtypes, nulls, ranges, enums, forms of text and unique ids. Validate eager frames
    with it: pandera skips value checks on lazy ones.
    """
    import pandera.polars as pa

    described = {column.name: column for column in contract.columns}
    columns = {
        name: pa.Column(
            dtype,
            checks=_checks(described.get(name)),
            nullable=name not in _IDENTITY and not (name in described and described[name].required),
            unique=name == "event_id",
            description=described[name].description if name in described else None,
        )
        for name, dtype in silver_schema(contract).items()
    }
    return pa.DataFrameSchema(columns, strict=True, ordered=True, name=f"silver/{contract.source}")


def failures(model: pa.DataFrameSchema, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Validate `frame`; return column, check and number of failing rows of every failure."""
    import pandera.errors

    try:
        model.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        return cases.group_by("column", "check", maintain_order=True).len("rows").rows(named=True)
    return []


def _checks(column: Field | None) -> list[pa.Check]:
    import pandera.polars as pa

    if column is None:
        return []
    checks = []
    if column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum))
    if column.maximum is not None:
        checks.append(pa.Check.le(column.maximum))
    if column.enum:
        checks.append(pa.Check.isin(list(column.enum)))
    if column.pattern is not None:
        checks.append(pa.Check.str_contains(column.pattern))
    if column.min_length is not None or column.max_length is not None:
        checks.append(pa.Check.str_length(column.min_length, column.max_length))
    return checks
