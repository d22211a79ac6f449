"""Tests that question one running stack, and the fixtures that start and feed it."""
