"""Tests of tracing, on Delta tables in a local directory."""
