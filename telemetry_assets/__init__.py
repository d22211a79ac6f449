"""The Dagster code location: `defs` wires, `lakehouse` computes."""
