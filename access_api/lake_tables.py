"""The tables of the lake that follow from contracts, and what contracts say of any column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from access_api.tables import CatalogTable, TableColumn
from telemetry_contracts.contract import Contract, Field, LogicalType
from telemetry_contracts.descriptions import COLUMN_DESCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from telemetry_contracts.registry import Registry

COUNTED = "counted by the ledger"
_PLAIN = "1"
UNKNOWN = "not counted yet"
_EVENT_COLUMNS = (
    *("event_id", "source", "device_id", "event_time", "received_at", "received_hour"),
    *("receipt_id", "contract_version", "token_key_version", "shape", "source_file"),
    *("source_row", "extras"),
)
_BRONZE_COLUMNS = (*_EVENT_COLUMNS, "corrects", "correction")
_SILVER_COLUMNS = (*_EVENT_COLUMNS, "correction_id")
_EVENT_TYPES = {
    "event_time": LogicalType.TIMESTAMP,
    "received_at": LogicalType.TIMESTAMP,
    "token_key_version": LogicalType.INTEGER,
    "source_row": LogicalType.INTEGER,
}
_LANDED = "Every accepted event as it was sent, tokenized; the source of all other tables."
_LANDED_COLUMNS = (
    *("event_id", "source", "device_id", "event_time", "received_at", "received_hour"),
    *("payload", "contract_version", "receipt_id", "token_key_version"),
)
# Beyond the contracts' units, which are the last word of a column's name.
_SECONDS = {"seconds": "s", "minutes": "min", "hours": "h"}


@dataclass(frozen=True)
class Account:
    """What the ledger says of one source: when an hour was last refined, and events in all."""

    refined_at: datetime
    accepted: int
    silver: int
    quarantined: int
    duplicates: int


def contract_tables(
    registry: Registry, accounts: dict[str, Account], root: str
) -> list[CatalogTable]:
    """Return the tables that follow from contracts alone."""
    landed = sum(account.accepted for account in accounts.values()) if accounts else None
    tables = [
        CatalogTable(
            "landing",
            "events",
            _LANDED,
            tuple(map(_event_column, _LANDED_COLUMNS)),
            tuple(registry),
            mixed=True,
            rows=landed,
            rows_told=COUNTED if accounts else UNKNOWN,
            place=f"{root}/landing/events",
        )
    ]
    for source, contract in registry.items():
        account = accounts.get(source)
        told = COUNTED if account else UNKNOWN
        sent = tuple(map(_field_column, contract.sent_columns))
        silver = tuple(map(_field_column, contract.columns))
        tables += [
            CatalogTable(
                "bronze",
                source,
                f"Its landed events as typed columns. {contract.description}",
                (*map(_event_column, _BRONZE_COLUMNS), *sent),
                (source,),
                mixed=False,
                rows=account.accepted if account else None,
                rows_told=told,
                place=f"{root}/bronze/{source}",
            ),
            CatalogTable(
                "silver",
                source,
                f"Its events that are unique, valid and enriched. {contract.description}",
                (*map(_event_column, _SILVER_COLUMNS), *silver),
                (source,),
                mixed=False,
                rows=account.silver if account else None,
                rows_told=told,
                place=f"{root}/silver/{source}",
                loaded_as=f"warehouse.{source}",
            ),
        ]
    return tables


def _event_column(name: str) -> TableColumn:
    type_ = _EVENT_TYPES.get(name, LogicalType.STRING)
    return TableColumn(name, type_.value, COLUMN_DESCRIPTIONS[name])


def _field_column(field: Field) -> TableColumn:
    return TableColumn(
        field.name,
        field.logical_type.value,
        field.description,
        unit=_unit_of_field(field),
        restricted=field.restricted,
        limits=limits_of(field),
    )


def limits_of(field: Field) -> str:
    """Return what a value must be, in words."""
    if field.enum:
        return f"one of {', '.join(field.enum)}"
    low, high = field.minimum, field.maximum
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if low is not None:
        return f"{low:g} or more"
    return f"{high:g} or less" if high is not None else ""


def fields_of(registry: Registry) -> dict[str, Field]:
    """Return the contracts' own columns by name."""
    contracts: Iterable[Contract] = registry.values()
    return {field.name: field for contract in contracts for field in contract.columns}


def units_of(registry: Registry) -> dict[str, str]:
    """Return the unit that the last word of a column's name stands for."""
    units = {name: _unit_of_field(field) for name, field in fields_of(registry).items()}
    return _SECONDS | {name.rsplit("_", 1)[-1]: unit for name, unit in units.items() if unit}


def _unit_of_field(field: Field) -> str | None:
    return None if field.unit == _PLAIN else field.unit


def unit_of(column: str, type_: str, known: dict[str, Field], units: dict[str, str]) -> str | None:
    """Return the unit of a mart's column: that of the contract's, else what its name ends with."""
    if column in known:
        return _unit_of_field(known[column])
    _, _, last = column.rpartition("_")
    numeric = type_ in ("double precision", "bigint", "integer", "numeric")
    return units.get(last) if numeric and last != column else None
