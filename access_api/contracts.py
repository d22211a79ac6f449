"""What the contracts in force say about columns, followed while the API serves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from telemetry_platform.contracts import contract_folder
from telemetry_platform.polling import Polling

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)


class Vocabulary:
    """The contracts of one moment.

    Attributes:
        registry: Contracts in force.
        restricted: Names of the columns that hold tokens.
        units: Unit of each metric, None for a plain number.
    """

    def __init__(self, registry: Registry) -> None:
        fields = [column for contract in registry.values() for column in contract.fields]
        self.registry = registry
        self.restricted = frozenset(column.name for column in fields if column.restricted)
        self.units = {column.name: column.unit for column in fields if column.metric}


class FollowedContracts(Polling):
    """Follows the folder of contracts. A request takes `now` once and stays with it."""

    def __init__(self, settings: Settings) -> None:
        """Look for the first time.

        Raises:
            ContractError: A built-in contract is wrong.
        """
        super().__init__("contracts", settings.contracts_poll_seconds)
        self._folder = contract_folder(settings)
        self.now = Vocabulary(self._folder.look().registry)

    def look(self) -> None:
        """Look once, and put in force what is new. A file that is refused is the edge's to tell."""
        found = self._folder.look().registry
        if found is not self.now.registry:
            self.now = Vocabulary(found)
            _log.info("contracts in force", extra={"sources": list(found)})
