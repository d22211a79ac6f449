"""One run of the simulator: sends a plan with a progress bar and prints the ledger's totals."""

import asyncio
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from device_sim.ledger import Entry, Ledger, Totals
from device_sim.posts import Post
from device_sim.sender import Sender

COUNTS = ("sent", "accepted", "duplicate", "rejected", "unreadable", "unacknowledged")
_TITLES = {
    "duplicate": "dupli-\ncate",
    "unreadable": "unread-\nable",
    "unacknowledged": "no\nanswer",
}


def send_with_progress(
    sender: Sender, posts: Iterator[Post], events: int, console: Console
) -> None:
    """Send the posts and show how many of about ``events`` events are answered.

    Raises:
        ExceptionGroup: Of ``LedgerError`` when an answer does not add up.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("sending", total=events)

        def advance(entry: Entry) -> None:
            progress.advance(task, entry.events)

        asyncio.run(sender.send(posts, advance))
        done = progress.tasks[0].completed
        progress.update(task, total=done, completed=done)


def totals_table(ledger: Ledger) -> Table:
    """Return the ledger's totals, one row a source.

    Raises:
        LedgerError: They do not add up.
    """
    table = Table(title="sent = accepted + duplicate + rejected + unreadable + no answer")
    table.add_column("source", no_wrap=True)
    for name in ("posts", *COUNTS):
        table.add_column(_TITLES.get(name, name), justify="right")
    for source, totals in sorted(ledger.totals().items()):
        table.add_row(source, *(f"{getattr(totals, name):,}" for name in ("posts", *COUNTS)))
    return table


def delivered(totals: dict[str, Totals]) -> bool:
    """Tell whether every event got a final answer."""
    return all(each.unacknowledged == 0 for each in totals.values())
