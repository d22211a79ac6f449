"""What can be traced: a receipt, which carries its time, or an event id, which does not."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

RECEIPT = "receipt"
EVENT = "event"
_RECEIPT = re.compile(r"rcp_([0-9a-f]{32})\Z")
_MILLISECONDS_SHIFT = 80
_VERSION_7 = 7


class NotTraceable(ValueError):
    """A text is neither a receipt nor an event id."""

    def __init__(self) -> None:
        super().__init__(
            "an id is a receipt (rcp_ and 32 hexadecimal digits) or an event id (a UUID), "
            "as the edge's answer has them"
        )


@dataclass(frozen=True)
class TraceId:
    """A checked id.

    Attributes:
        kind: RECEIPT or EVENT.
        text: As the tables hold it.
        at: When a receipt was given; None for an event.
    """

    kind: str
    text: str
    at: datetime | None = None


def parse_id(text: str) -> TraceId:
    """Return the id that `text` is, however its letters are written.

    Raises:
        NotTraceable: It is none.
    """
    plain = text.strip().lower()
    receipt = _RECEIPT.match(plain)
    try:
        found = uuid.UUID(receipt[1] if receipt else plain)
    except ValueError as error:
        raise NotTraceable from error
    if receipt is None:
        return TraceId(EVENT, str(found))
    if found.version != _VERSION_7:
        raise NotTraceable
    milliseconds = found.int >> _MILLISECONDS_SHIFT
    try:
        return TraceId(RECEIPT, plain, datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (OverflowError, ValueError) as error:
        raise NotTraceable from error
