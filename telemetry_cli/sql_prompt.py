"""The prompt of `telemetry sql`: statements over several lines, a history, names to complete."""

from __future__ import annotations

import readline
from typing import TYPE_CHECKING

from telemetry_cli.embedded.state import write_private
from telemetry_cli.errors import CommandError
from telemetry_cli.output import people
from telemetry_cli.sql import ask

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry_cli.sql_answers import Form
    from telemetry_platform.lake_sql.database import LakeDatabase

_HISTORY_LINES = 1000
_FIRST, _NEXT = "lake> ", " ...> "
_HELP = (
    "End a statement with ; . Tab completes tables, Ctrl-C drops what was typed, Ctrl-D leaves.\n"
    "SHOW ALL TABLES lists the lake, DESCRIBE silver.mobile the columns of a table."
)


class Prompt:
    """Asks for statements until the end of input and answers them."""

    def __init__(self, lake: LakeDatabase, history: Path, form: Form) -> None:
        """Take what to ask, where the history is kept, and how answers are printed."""
        self._lake, self._history, self._form = lake, history, form
        self._names = lake.tables()

    def run(self) -> None:
        """Read and answer statements; wrong ones are told and the prompt goes on."""
        people().print(_HELP, markup=False)
        readline.set_completer(self.complete)
        readline.set_completer_delims(" \t\n,()=;")
        readline.parse_and_bind("tab: complete")
        readline.set_history_length(_HISTORY_LINES)
        if self._history.is_file():
            readline.read_history_file(self._history)
        try:
            self._answer_all()
        finally:
            # Questions may hold a person's token, so nobody else may read them.
            write_private(self._history, "")
            readline.write_history_file(self._history)
            readline.set_completer(None)

    def complete(self, text: str, state: int) -> str | None:
        """Return the name of a table that begins with `text`, the one numbered `state`."""
        fitting = [name for name in self._names if name.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    def _answer_all(self) -> None:
        typed = ""
        while True:
            try:
                typed += input(_NEXT if typed else _FIRST) + "\n"
                if not typed.strip():
                    typed = ""
                elif self._is_whole(typed):
                    typed, statements = "", typed
                    ask(self._lake, statements, self._form)
            except CommandError as error:
                people().print(
                    f"{error.message}\n{error.remedy}".strip(), style="red", markup=False
                )
            except KeyboardInterrupt:
                typed = ""
                people().print()
            except EOFError:
                people().print()
                return

    def _is_whole(self, typed: str) -> bool:
        """Whether a statement has ended: a `;` in a text or a comment ends none."""
        import duckdb

        if not typed.rstrip().endswith(";"):
            return False
        try:
            return bool(self._lake.connection.extract_statements(typed))
        except duckdb.ParserException as error:
            return "unterminated" not in str(error)
