"""Names that a contract may not use, because a column or a table could not be called so.

A contract can come while everything runs; one that no table takes must be refused when it is read,
not when its first events are refined.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z][a-z0-9_]*")
MAX_SOURCE = 40
"""Longest name of a source; tables and indexes add to it, and Postgres cuts names at 63."""
MAX_FIELD = 63

SQL_WORDS = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check
    collate collation column concurrently constraint create cross current_catalog current_date
    current_role current_schema current_time current_timestamp current_user default deferrable desc
    distinct do else end except false fetch for foreign freeze from full grant group having ilike in
    initially inner intersect into is isnull join lateral leading left like limit localtime
    localtimestamp natural not notnull null offset on only or order outer overlaps placing primary
    references returning right select session_user similar some symmetric system_user table
    tablesample then to trailing true union unique user using variadic verbose when where window
    with
    """.split()  # noqa: SIM905  (eighty words are read better as text)
)
"""Words that SQL keeps for itself.

https://www.postgresql.org/docs/18/sql-keywords-appendix.html
"""
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
TAKEN_FIELDS = frozenset(
    {
        *("source", "received_at", "received_hour", "receipt_id", "contract_version"),
        *("token_key_version", "shape", "source_file", "source_row", "extras", "payload"),
        *("corrects", "correction", "correction_id"),
    }
)
"""Columns that every event has beside its contract's, and the one they are unpacked from."""
TAKEN_SOURCES = frozenset(
    {
        *("quarantine", "duplicates", "rejected", "files", "replays", "events"),
        *("superseded", "corrections"),
        *("metric_partials", "hour_partials", "device_profiles", "ledger", "rule_outcomes"),
        *("devices", "users", "marts_build"),
    }
)
"""Tables that stand beside those of the sources."""


def field_problem(name: str) -> str | None:
    """Return why no field can be called `name`, None when one can."""
    if not _NAME.fullmatch(name):
        return "the name is not lower_snake_case"
    if len(name) > MAX_FIELD:
        return f"the name is longer than {MAX_FIELD} characters"
    if name in SQL_WORDS or name in _SYSTEM_COLUMNS:
        return "the name is a word of SQL; add another word to it"
    return "the name is that of a column every event has" if name in TAKEN_FIELDS else None


def source_problem(name: str) -> str | None:
    """Return why no source can be called `name`, None when one can."""
    if not _NAME.fullmatch(name):
        return f"schema name {name!r} is not a lower_snake_case source name"
    if len(name) > MAX_SOURCE:
        return f"schema name {name!r} is longer than {MAX_SOURCE} characters"
    return f"schema name {name!r} is that of another table" if name in TAKEN_SOURCES else None
