"""Starts the simulator's command."""

from device_sim.command import app

app(prog_name="python -m device_sim")
