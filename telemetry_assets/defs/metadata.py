"""Column schemas and counts as Dagster shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_contracts.contract import Contract

_COMMON = {
    "event_id": "Identifier of the event; a repeated one is a duplicate.",
    "source": "Contract that the event was read by.",
    "device_id": "The device.",
    "event_time": "When the device measured, UTC.",
    "received_at": "When the edge received it, UTC.",
    "received_hour": "Arrival hour, the partition.",
    "receipt_id": "Post or file that brought the event.",
    "contract_version": "Version of the contract at the edge.",
    "judged_by": "Version of the contract whose rules refused the event.",
    "landing_version": "Version of landing/events that the event was read from.",
    "rules": "Rules that the event broke.",
    "reasons": "Rule, dimension, field and message of every broken rule, as JSON.",
    "payload": "Values of the event as JSON; personal ones are tokens.",
    "token_key_version": "Key version of the tokens in the row.",
    "shape": "Vendor shape the event was sent in.",
    "source_file": "CSV file the event came in, if any.",
    "source_row": "Row of that file, from 1.",
    "extras": "Fields that the contract does not know, as JSON.",
}


def column_schema(
    columns: Mapping[str, pl.DataType | type[pl.DataType]], contract: Contract | None = None
) -> dg.TableSchema:
    """Return columns with types and, where they are known, descriptions, units and limits."""
    described = dict(_COMMON)
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
