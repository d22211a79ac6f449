"""A polling thread looks on after an error, and ends when told to."""

from __future__ import annotations

from queue import Queue

import pytest

from telemetry_platform.polling import Polling

pytestmark = pytest.mark.unit
SECONDS = 60


class Looking(Polling):
    """Fails at its first look."""

    def __init__(self) -> None:
        super().__init__("looking", 0.001)
        self.looks: Queue[int] = Queue()
        self.count = 0

    def look(self) -> None:
        self.count += 1
        self.looks.put(self.count)
        if self.count == 1:
            raise ValueError("once")


def test_an_error_is_logged_and_the_next_look_comes(caplog: pytest.LogCaptureFixture) -> None:
    polling = Looking()
    polling.start()
    assert [polling.looks.get(timeout=SECONDS) for _ in range(3)] == [1, 2, 3]
    polling.stop()
    assert polling.ending
    seen = polling.count
    assert [record.message for record in caplog.records] == ["look failed"]
    assert polling.count == seen


def test_one_that_was_never_started_can_be_stopped() -> None:
    Looking().stop()
