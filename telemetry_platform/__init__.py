"""Settings, clock, ids, and the one place where each store is opened."""
