"""The guard: when the supervising process dies, however it dies, no server outlives it.

A tiny shell reads the supervisor's pipe. The pipe closes when its writer dies, also by SIGKILL, and
the shell then kills every process group it was told of. Unlike PR_SET_PDEATHSIG this reaches
grandchildren (Dagster's run workers), works on macOS, and does not mistake the end of the thread
that started a server for the end of the supervisor.
"""

from __future__ import annotations

import subprocess

# POSIX sh: dash knows no `kill -KILL -- -GROUP`, only this form.
_SCRIPT = """
trap '' INT TERM HUP
groups=' '
while read -r action group; do
  case $action in
    add) groups="$groups$group " ;;
    drop) groups="${groups%% $group *} ${groups#* $group }" ;;
    done) exit 0 ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
"""


class Guard:
    """Kills the watched process groups when this process is gone."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )

    def add(self, group: int) -> None:
        """Watch a process group."""
        self._say(f"add {group}")

    def drop(self, group: int) -> None:
        """Forget a process group; its id may come to belong to somebody else."""
        self._say(f"drop {group}")

    def close(self) -> None:
        """Dismiss the guard; nothing is killed."""
        self._say("done")
        if self._shell.stdin:
            self._shell.stdin.close()
        self._shell.wait(timeout=60)

    def _say(self, line: str) -> None:
        # A dead guard is no reason to stop the stack: leftovers are also ended at the next start.
        try:
            if self._shell.stdin:
                self._shell.stdin.write(f"{line}\n".encode())
                self._shell.stdin.flush()
        except BrokenPipeError:
            return
