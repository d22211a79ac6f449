"""The contracts that an edge judges by, swapped as one while it serves.

What a file must be to be followed is `telemetry_contracts.adoption`'s matter.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from ingest_lambda.post_reader import PostReader, compile_readers
from telemetry_contracts.registry import Registry
from telemetry_platform.polling import Polling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest_lambda.edge import Edge
    from telemetry_contracts.adoption import ContractFolder, InForce
    from telemetry_contracts.tokens import KeyRing

_log = logging.getLogger(__name__)


class Contracts(NamedTuple):
    """Contracts and what reads by them. A request takes one of these and stays with it.

    Attributes:
        registry: Contracts in force.
        readers: A reader for each of them, by source.
        refused: Why a contract file is not followed, by its name.
    """

    registry: Registry
    readers: Mapping[str, PostReader]
    refused: Mapping[str, str]


def compile_contracts(
    found: InForce, keyring: KeyRing, before: Contracts | None = None
) -> Contracts:
    """Compile what a look found; readers of contracts that did not change are kept."""
    readers = compile_readers(found.registry, keyring, before.readers if before else {})
    return Contracts(found.registry, readers, found.refused)


class ContractWatch(Polling):
    """Follows the folder of contracts. `start` it with an open edge, `stop` it before closing."""

    def __init__(self, edge: Edge, folder: ContractFolder, pace_seconds: float) -> None:
        """Name what is followed.

        Args:
            edge: Its contracts are swapped.
            folder: Where contracts come from.
            pace_seconds: Time between two looks.
        """
        super().__init__("contract-watch", pace_seconds)
        self._edge = edge
        self._folder = folder

    def look(self) -> None:
        """Look once, and put in force what is new."""
        found, before = self._folder.look(), self._edge.contracts
        if found.registry is before.registry and found.refused == before.refused:
            return
        self._edge.contracts = compile_contracts(found, self._edge.keyring, before)
        for source, contract in found.registry.items():
            if before.registry.get(source) != contract:
                _log.info(
                    "contract in force", extra={"source": source, "version": contract.version}
                )
        log_refused(found.refused, before.refused)


def log_refused(refused: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Tell of contract files that were not refused, or not for this, before."""
    for name, reason in refused.items():
        if before.get(name) != reason:
            _log.error("contract refused", extra={"file": name, "reason": reason})
