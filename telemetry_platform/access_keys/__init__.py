"""API keys: their file, checking a presented one, and who presents too many bad ones."""
