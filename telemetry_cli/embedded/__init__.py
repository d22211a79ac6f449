"""The embedded stack: object store, database, edge and Dagster as processes on loopback."""
