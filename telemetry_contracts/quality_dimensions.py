"""The six dimensions of data quality, what each one says, and the score that a source must reach.

How often a rule of a dimension was checked and broken is counted in the lake and in the warehouse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from telemetry_contracts.contract import ContractError

DEFAULT_THRESHOLD = 0.99


@dataclass(frozen=True)
class Dimension:
    """A dimension in words, for people who read a score."""

    name: str
    question: str
    failures: str


DIMENSIONS = (
    Dimension(
        "completeness",
        "Is every value there that must be there?",
        "events that the edge refused for a missing value; rules on required fields that failed",
    ),
    Dimension(
        "validity",
        "Is every value one that can be true?",
        "events that the edge could not read; rules on types, ranges, formats and enumerations "
        "that failed",
    ),
    Dimension(
        "consistency",
        "Do values agree with each other, and the layers with each other?",
        "rules over several fields that failed; events that silver, the warehouse and the marts "
        "do not all hold",
    ),
    Dimension(
        "timeliness",
        "Did events arrive in time?",
        "events from the future, and events later than the contract allows",
    ),
    Dimension(
        "uniqueness",
        "Did every event arrive once?",
        "events whose id had landed before",
    ),
    Dimension(
        "integrity",
        "Does everything that an event refers to exist, and is every event accounted for?",
        "rules on references, such as a registered device, that failed; accepted events that are "
        "neither in silver nor in quarantine, nor a duplicate, nor superseded, nor erased",
    ),
)
"""In the order in which they are shown."""

NAMES = tuple(dimension.name for dimension in DIMENSIONS)


def read_thresholds(declared: Any) -> dict[str, float]:  # noqa: ANN401  (as YAML has it)
    """Return the threshold of each dimension, 0 to 1, from `qualityThresholds` of a contract.

    Raises:
        ContractError: It names an unknown dimension, or a number that is no share.
    """
    if not isinstance(declared, dict):
        raise ContractError("qualityThresholds maps dimensions to shares, such as validity: 0.98")
    if unknown := sorted(set(declared) - set(NAMES)):
        raise ContractError(
            f"qualityThresholds: {unknown[0]!r} is no dimension; choose from {', '.join(NAMES)}"
        )
    for name, share in declared.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ContractError(f"qualityThresholds: {name} is not a share from 0 to 1")
    return {name: float(declared.get(name, DEFAULT_THRESHOLD)) for name in NAMES}
