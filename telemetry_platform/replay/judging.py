"""Reads a refused body as the edge reads an event, by the contracts in force now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from telemetry_contracts.reader import EventReader, Reading, Refusal, Violation, compile_reader
from telemetry_contracts.sealing import SealBox, SealBroken
from telemetry_contracts.tokens import KeyRing

if TYPE_CHECKING:
    from telemetry_contracts.contract import Contract
    from telemetry_platform.settings import Settings

UNOPENED_RULE = "sealed"
"""The rule of a body that could not be opened, and so could not be judged."""


class Judge:
    """Opens and reads refused bodies; each source's contract is compiled once.

    Attributes:
        contracts: Contracts in force, by source.
        token_key_version: Key version of the tokens it makes.
    """

    def __init__(self, contracts: Mapping[str, Contract], box: SealBox, ring: KeyRing) -> None:
        self.contracts = contracts
        self.token_key_version = ring.current_version
        self._box = box
        self._ring = ring
        self._readers: dict[str, EventReader] = {}

    def read(self, source: str, sealed: bytes) -> Reading | Refusal:
        """Read one sealed body as an event of `source`."""
        contract = self.contracts.get(source)
        if contract is None:
            return _refusal("contract", "the source has no contract")
        try:
            event = orjson.loads(self._box.open(sealed))
        except SealBroken as error:
            return _refusal(UNOPENED_RULE, str(error))
        except orjson.JSONDecodeError:
            return _refusal("json", "the event is not JSON")
        if source not in self._readers:
            self._readers[source] = compile_reader(contract, self._ring)
        return self._readers[source].read(event)


def open_judge(settings: Settings, contracts: Mapping[str, Contract]) -> Judge:
    """Return a judge with the key files of the edge.

    Raises:
        OSError: One cannot be read.
        ValueError: One is not a key file.
    """
    return Judge(
        contracts,
        SealBox.from_file(settings.secrets_dir / "seal_keys.json"),
        KeyRing.from_file(settings.secrets_dir / "token_keys.json"),
    )


def _refusal(rule: str, message: str) -> Refusal:
    return Refusal((Violation(rule, None, message),))
