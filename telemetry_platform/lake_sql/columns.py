"""What a Delta table's columns are called in DuckDB's SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltalake.schema import ArrayType, MapType, PrimitiveType, StructType, VariantType

if TYPE_CHECKING:
    from deltalake import Field

_PRIMITIVES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "timestamp_ntz": "TIMESTAMP",
}


def sql_name(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("'", "''") + "'"


def sql_type(type_: PrimitiveType | ArrayType | MapType | StructType | VariantType) -> str:
    """Return DuckDB's name of a Delta type."""
    if isinstance(type_, ArrayType):
        return f"{sql_type(type_.element_type)}[]"
    if isinstance(type_, MapType):
        return f"MAP({sql_type(type_.key_type)}, {sql_type(type_.value_type)})"
    if isinstance(type_, StructType):
        fields = (f"{sql_name(field.name)} {sql_type(field.type)}" for field in type_.fields)
        return f"STRUCT({', '.join(fields)})"
    if isinstance(type_, VariantType):
        return "VARIANT"
    # What is left is `decimal(10,2)`, which DuckDB spells the same.
    return _PRIMITIVES.get(type_.type, type_.type)


def file_schema(fields: list[Field]) -> str:
    """Return the columns of a table's files for `read_parquet`.

    A file that was written before its contract gained a field has null there, and one from before
    a type was widened is read as the wider type.
    """
    entries = (
        f"{sql_text(field.name)}: {{name: {sql_text(field.name)},"
        f" type: {sql_text(sql_type(field.type))}, default_value: NULL}}"
        for field in fields
    )
    return f"MAP{{{', '.join(entries)}}}"
