"""Wiring: assets, checks, jobs, sensors and resources. What rows mean is in `lakehouse`."""
