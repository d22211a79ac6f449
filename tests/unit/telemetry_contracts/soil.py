"""The contract of CONTRIBUTING.md, in the versions that tests want of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_GUIDE = Path(__file__).resolve().parents[3] / "CONTRIBUTING.md"
_FIELD = """      - name: {name}
        logicalType: {logical_type}
        description: A further field.
        customProperties:
          - {{property: metric, value: true}}
          - {{property: paths, value: [{{shape: probe_json, path: {name}}}]}}
"""


def soil(version: str = "1.0.0", new_field: str = "", logical_type: str = "number") -> str:
    """Return the contract, with one metric more when it is named."""
    found = re.search(r"^```yaml\n(.*?)^```$", _GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    more = _FIELD.format(name=new_field, logical_type=logical_type) if new_field else ""
    return found[1].replace("version: 1.0.0", f"version: {version}") + more


def put(folder: Path, text: str, name: str = "soil") -> Path:
    """Write a contract file that nobody is writing any more."""
    file = folder / f"{name}.odcs.yaml"
    file.write_text(text)
    then = file.stat().st_mtime - 10
    os.utime(file, (then, then))
    return file


def probe(bed: str, second: int, **more: Any) -> dict[str, Any]:
    """Return one reading of a soil probe."""
    event = {"probe": {"id": bed}, "at": 1767607200 + second, "soil": {"temp": 59.0}}
    return event | {"moisture": "0.31"} | more
