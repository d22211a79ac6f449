"""The one error that commands raise for a person to read: what was wrong, and what to do."""

from __future__ import annotations


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
