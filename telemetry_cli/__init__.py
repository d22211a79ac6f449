"""The `telemetry` command and the embedded servers it starts."""
