"""Column schemas and counts as Dagster shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from telemetry_contracts.descriptions import COLUMN_DESCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_contracts.contract import Contract


def column_schema(
    columns: Mapping[str, pl.DataType | type[pl.DataType]], contract: Contract | None = None
) -> dg.TableSchema:
    """Return columns with types and, where they are known, descriptions, units and limits."""
    described = dict(COLUMN_DESCRIPTIONS)
    if contract is not None:
        described |= {column.name: _describe(contract, column.name) for column in contract.columns}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=str(dtype),
                description=described.get(name),
                constraints=_constraints(contract, name),
            )
            for name, dtype in columns.items()
        ]
    )


def rows_metadata(rows: int, version: int | None = None) -> dict[str, dg.MetadataValue]:
    """Return the row count of a written partition, and the table's version."""
    found: dict[str, dg.MetadataValue] = {"dagster/partition_row_count": dg.MetadataValue.int(rows)}
    if version is not None:
        found["delta_version"] = dg.MetadataValue.int(version)
    return found


def table_metadata(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """Return rows as a table of texts that Dagster shows."""
    schema = dg.TableSchema([dg.TableColumn(name) for name in frame.columns])
    texts = frame.select(pl.all().cast(pl.String).fill_null(""))
    return dg.MetadataValue.table(
        [dg.TableRecord(row) for row in texts.iter_rows(named=True)], schema
    )


def _describe(contract: Contract, name: str) -> str:
    column = contract.field(name)
    unit = f" [{column.unit}]" if column.unit else ""
    token = " Token, not the value." if column.restricted else ""
    return f"{column.description}{unit}{token}"


def _constraints(contract: Contract | None, name: str) -> dg.TableColumnConstraints | None:
    columns = {column.name: column for column in contract.columns} if contract else {}
    column = columns.get(name)
    if column is None:
        return None
    other = []
    if column.minimum is not None:
        other.append(f"at least {column.minimum:g}")
    if column.maximum is not None:
        other.append(f"at most {column.maximum:g}")
    if column.enum:
        other.append("one of " + ", ".join(column.enum))
    return dg.TableColumnConstraints(nullable=not column.required, other=other)
