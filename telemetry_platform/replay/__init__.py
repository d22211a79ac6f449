"""Repair of refused events: read again by today's contracts, and landed when they can be read."""
