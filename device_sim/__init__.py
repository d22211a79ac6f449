"""Simulated device fleets: they post over HTTP or write CSV, and keep a ledger of every answer.

Knows the public shapes of the clients and the edge's HTTP interface, and nothing of our servers.
"""
