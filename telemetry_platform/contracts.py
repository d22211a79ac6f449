"""The contracts in force in this deployment: built-in ones, and those of its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry_contracts.adoption import ContractFolder

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings


def contract_folder(settings: Settings) -> ContractFolder:
    """Return the folder of further contracts, to be looked at again and again."""
    return ContractFolder(settings.contracts_path, settings.accepted_contracts)


def contracts_in_force(settings: Settings) -> Registry:
    """Return the contracts in force now.

    A file that must not be followed leaves the version before it in force. Nothing is remembered
    in the process, because runs of Dagster are forked from one that lives on.

    Raises:
        ContractError: A built-in contract is wrong.
    """
    return contract_folder(settings).look().registry
