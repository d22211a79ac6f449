"""Pure functions from frames to frames, and the readers and writers of their tables."""
