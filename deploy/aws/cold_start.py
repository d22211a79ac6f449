"""Measures the Lambda function: the size of what it needs, and how long its first answer takes.

Usage: cold_start.py DIRECTORY, which `assemble` has filled. Each run is a fresh process that sees
nothing but that directory and the standard library, on an object store of its own on this machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from telemetry_cli.embedded.environment import process_environment
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.settings import Settings

RUNS = 5
MEBIBYTE = 1024 * 1024
ZIP_LIMIT_MEBIBYTES = 250
"""Unzipped, layers included: "Lambda quotas" in the AWS Lambda developer guide."""

EVENT = Path(__file__).parents[2] / "tests" / "golden" / "lambda" / "http_api_v2.json"
PROGRAM = """
import json, sys, time
started = time.perf_counter()
from ingest_lambda.handler import handler
imported = time.perf_counter()
event = json.load(sys.stdin)
answer = handler(event, None)
first = time.perf_counter()
handler(event, None)
second = time.perf_counter()
assert answer["statusCode"] == 202, answer
print(json.dumps({"import": imported - started, "first answer": first - imported,
                  "second answer": second - first}))
"""


def size_mebibytes(directory: Path) -> float:
    """Return the size of all files, without the bytecode that an image compiles for itself."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in files) / MEBIBYTE


def cold_starts(directory: Path) -> list[dict[str, float]]:
    """Return the seconds of each step, by run."""
    with (
        tempfile.TemporaryDirectory(prefix="telemetry-lambda-") as home,
        EmbeddedStack(Settings(home=Path(home)), only={"s3"}) as stack,
    ):
        stack.start()
        event = json.loads(EVENT.read_text())
        key_file = stack.settings.secrets_dir / DEVELOPMENT_KEY_FILE
        event["headers"]["x-api-key"] = key_file.read_text().strip()
        environment = {**process_environment(stack.settings), "PYTHONPATH": str(directory)}
        return [_one_start(environment, json.dumps(event)) for _ in range(RUNS)]


def _one_start(environment: dict[str, str], event: str) -> dict[str, float]:
    done = subprocess.run(
        # Without `site` the packages of this environment are out of sight.
        [sys.executable, "-S", "-c", PROGRAM],
        env=environment,
        input=event,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the function failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print both measures."""
    directory = Path(sys.argv[1]).resolve()
    size = size_mebibytes(directory)
    verdict = "fits a zip file" if size <= ZIP_LIMIT_MEBIBYTES else "needs an image"
    print(f"{size:.0f} MiB unzipped; a zip file may have {ZIP_LIMIT_MEBIBYTES}: {verdict}")
    runs = cold_starts(directory)
    for step in runs[0]:
        times = sorted(run[step] * 1000 for run in runs)
        shown = ", ".join(f"{one:.0f}" for one in times)
        print(f"{step}: median {statistics.median(times):.0f} ms of {len(runs)} runs ({shown})")
    print(f"on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
