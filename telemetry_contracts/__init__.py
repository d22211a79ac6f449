"""What a device may send: one ODCS contract per source, and what follows from it."""
