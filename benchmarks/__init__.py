"""Measures the figures that the project promises: load generator, cases, machine floors."""
