"""What the edge and a process that reads for it say to each other.

Each message is a pickle behind its length. Both ends are one program of one owner, joined by a
socket that nobody else can reach. A task is answered by a `ReadPost`, by the `Problem` with the
post, or by None when reading it failed for a reason that its process has logged.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest_lambda.bodies import Sent
    from telemetry_contracts.contract import Contract
    from telemetry_contracts.tokens import KeyRing

LENGTH = struct.Struct("!Q")
"""Bytes of the message that follows."""


class Task(NamedTuple):
    """One post to read.

    Attributes:
        source: A source of the latest `Rules`.
        sent: What came.
        max_bytes: Most bytes of it without its coding.
        max_events: Most events of it.
    """

    source: str
    sent: Sent
    max_bytes: int
    max_events: int


class Rules(NamedTuple):
    """What all later posts are read by."""

    contracts: Mapping[str, Contract]
    keyring: KeyRing


READY = "ready"
"""What such a process says first."""
