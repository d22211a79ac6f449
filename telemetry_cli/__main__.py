"""`python -m telemetry_cli`, the same program as `telemetry`."""

from telemetry_cli.main import main

main()
