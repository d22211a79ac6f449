"""The set of contracts in force. The only place that looks for contract files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from telemetry_contracts.contract import Contract, ContractError
from telemetry_contracts.odcs import load_contract

SOURCES = Path(__file__).parent / "sources"
PATTERN = "*.odcs.yaml"


class Registry(Mapping[str, Contract]):
    """Contracts by source name, in alphabetical order.

    Attributes:
        directory: Where their files are.
    """

    def __init__(self, contracts: list[Contract], directory: Path = SOURCES) -> None:
        self.directory = directory
        self._contracts = {
            contract.source: contract for contract in sorted(contracts, key=lambda c: c.source)
        }
        if len(self._contracts) != len(contracts):
            raise ContractError("two contracts describe the same source")

    @property
    def sources(self) -> tuple[str, ...]:
        """Source names."""
        return tuple(self._contracts)

    def __getitem__(self, source: str) -> Contract:
        return self._contracts[source]

    def __iter__(self) -> Iterator[str]:
        return iter(self._contracts)

    def __len__(self) -> int:
        return len(self._contracts)


def load_registry(path: Path | None = None) -> Registry:
    """Load every `*.odcs.yaml` in `path`, by default the built-in contracts.

    Raises:
        ContractError: A file is wrong, or there is none.
    """
    directory = path or SOURCES
    files = sorted(directory.glob(PATTERN))
    if not files:
        raise ContractError(f"no {PATTERN} file in {directory}")
    return Registry([load_contract(file) for file in files], directory)
