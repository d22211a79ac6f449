"""The one error that commands raise for a person to read: what was wrong, and what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from telemetry_platform.settings import Settings


class CommandError(Exception):
    """A command could not do its work.

    Attributes:
        message: What was wrong, in one sentence.
        remedy: What to do about it; may be empty.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@contextmanager
def usable_lake(settings: Settings, consequence: str) -> Generator[None]:
    """Turn errors of the lake, while the block runs, into one that says what to do.

    Args:
        settings: Where the lake is.
        consequence: What the failure leaves behind and what to do, in a sentence.

    Raises:
        CommandError: The lake cannot be used.
    """
    # Imported here: Polars and Delta take half a second, which no other command should wait for.
    from deltalake.exceptions import DeltaError
    from obstore.exceptions import BaseError as StoreError
    from polars.exceptions import ComputeError

    from telemetry_platform.delta_log import TableUnsuitable

    try:
        yield
    except (DeltaError, StoreError, ComputeError, OSError, TableUnsuitable) as error:
        raise CommandError(
            f"The lake at {settings.root} cannot be used: {type(error).__name__}.",
            f"{consequence} `telemetry status` shows whether the store answers.",
        ) from error
