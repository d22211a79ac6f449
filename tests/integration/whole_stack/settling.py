"""When a whole stack is at rest: what landed is in the marts, and no run is going on.

The first mart that holds an event is not the last: what asks several of them waits for this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry_assets.lakehouse.settled import settled_hours
from telemetry_platform.delta import open_table, partition_sizes
from telemetry_platform.layout import LANDING_EVENTS
from tests.integration.dagster_client import DagsterClient
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings


def wait_until_settled(stack: Settings) -> None:
    """Wait until every landed hour is in the marts."""
    dagster = DagsterClient(stack.dagster_url)

    def behind() -> list[tuple[str, str]]:
        landing = open_table(stack, LANDING_EVENTS.path)
        assert landing is not None
        hours = {(source, hour) for source, hour, _ in partition_sizes(landing).rows()}
        return sorted(hours - settled_hours(stack, LANDING_EVENTS.path))

    def settled() -> bool:
        # In this order: the run that loads the last hour goes on to the marts.
        return not behind() and not dagster.unfinished_runs()

    wait_until(settled, "the stack is at rest", lambda: (behind(), dagster.unfinished_runs()))
