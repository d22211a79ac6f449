"""Contracts that come and change while processes run: which version of each is in force.

A folder holds contracts beside the built-in ones; a file there adds a source or follows the
contract of that source. What was taken in is copied aside, so that every process, also one that
starts later, holds the next version against the same one.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from telemetry_contracts.compatibility import (
    ReleasedContract,
    change_problems,
    described,
    read_released,
)
from telemetry_contracts.contract import Contract, ContractError
from telemetry_contracts.odcs import load_contract, read_contract
from telemetry_contracts.registry import PATTERN, Registry, load_registry

RELEASED_FILE = "released.json"
_log = logging.getLogger(__name__)
# A file that is being written may be read half, and half a contract can be a whole one.
_SETTLED_SECONDS = 1.0
_Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class InForce:
    """What a look found.

    Attributes:
        registry: Contracts in force: built-in ones, and those of the folder.
        refused: Why a file is not followed, by its name. The version before it stays in force.
    """

    registry: Registry
    refused: dict[str, str] = field(default_factory=dict)


class ContractFolder:
    """Follows the contract files of a folder. It need not exist. Not for two threads at once."""

    def __init__(self, directory: Path, accepted: Path) -> None:
        """Name the folders.

        Args:
            directory: Where people put contracts. With a `released.json` of theirs, as
                `telemetry contracts release` writes it, nothing there may break that either.
            accepted: Where copies of those taken in are kept, of each source the last.
        """
        self._directory = directory
        self._accepted = accepted
        self._built_in = load_registry()
        self._seen: tuple[_Signature, _Signature] | None = None
        self._found = InForce(self._built_in)

    def look(self) -> InForce:
        """Return the contracts in force now; the same object as before when no file changed."""
        seen = (_signature(self._directory), _signature(self._accepted))
        if seen == self._seen:
            return self._found
        found, settled = self._read()
        # What was copied aside just now is no news.
        self._seen = (seen[0], _signature(self._accepted)) if settled else None
        if found != self._found:
            self._found = found
        return self._found

    def _read(self) -> tuple[InForce, bool]:
        contracts: dict[str, Contract] = dict(self._built_in)
        for file in sorted(self._accepted.glob(PATTERN)):
            self._recall(file, contracts)
        released, refused, settled = self._released(), {}, True
        if isinstance(released, str):
            released, refused = {}, {RELEASED_FILE: released}
        taken: dict[str, str] = {}
        for file in sorted(self._directory.glob(PATTERN)):
            if not _is_settled(file):
                settled = False
                continue
            try:
                text = file.read_text(encoding="utf-8")
                contract = read_contract(text, file.name)
                self._examine(contract, contracts, taken, released)
            except (ContractError, OSError, UnicodeDecodeError) as error:
                refused[file.name] = str(error)
                continue
            taken[contract.source] = file.name
            if contracts.get(contract.source) != contract:
                contracts[contract.source] = contract
                self._keep(text, contract.source)
        registry = Registry(list(contracts.values()))
        same = dict(registry) == dict(self._found.registry)
        return InForce(self._found.registry if same else registry, refused), settled

    def _released(self) -> dict[str, ReleasedContract] | str:
        file = self._directory / RELEASED_FILE
        try:
            return read_released(file) if file.exists() else {}
        except ContractError as error:
            return str(error)

    @staticmethod
    def _recall(file: Path, contracts: dict[str, Contract]) -> None:
        """Put a contract that was taken in earlier in force, unless a newer one is built in."""
        try:
            contract = load_contract(file)
        except ContractError as error:
            _log.warning("accepted contract not readable", extra={"reason": str(error)})
            return
        built_in = contracts.get(contract.source)
        if built_in is None or not change_problems(contract, described(built_in)):
            contracts[contract.source] = contract

    @staticmethod
    def _examine(
        contract: Contract,
        contracts: dict[str, Contract],
        taken: dict[str, str],
        released: dict[str, ReleasedContract],
    ) -> None:
        """Hold a contract against what it follows.

        Raises:
            ContractError: It must not be followed.
        """
        source = contract.source
        if source in taken:
            raise ContractError(f"{source}: {taken[source]} describes the same source")
        # Against itself, a contract is asked for a version that the next one can be above.
        baselines = [described(contracts.get(source, contract))]
        baselines += [released[source]] if source in released else []
        problems = [problem for old in baselines for problem in change_problems(contract, old)]
        if problems:
            raise ContractError("; ".join(dict.fromkeys(problems)))

    def _keep(self, text: str, source: str) -> None:
        """Copy a contract aside; where that cannot be, this process alone remembers it."""
        copy = self._accepted / f"{source}{PATTERN[1:]}"
        draft = copy.with_name(f".{source}.{os.getpid()}")
        try:
            self._accepted.mkdir(parents=True, exist_ok=True)
            draft.write_text(text, encoding="utf-8")
            draft.replace(copy)
        except OSError as error:
            _log.warning(
                "contract not copied aside", extra={"source": source, "reason": str(error)}
            )


def _signature(directory: Path) -> _Signature:
    """Return name, time and size of each contract file; a file that vanishes meanwhile is none."""
    found = []
    for file in sorted([*directory.glob(PATTERN), directory / RELEASED_FILE]):
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((file.name, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _is_settled(file: Path) -> bool:
    try:
        age = time.time() - file.stat().st_mtime
    except OSError:
        return False
    return not 0 <= age < _SETTLED_SECONDS
