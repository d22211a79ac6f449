"""Key files: versioned base64 keys in JSON, mode 0600, replaced atomically."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_keys(path: Path) -> dict[int, str]:
    """Return base64 keys by version.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a key file.
    """
    try:
        return {int(version): str(key) for version, key in json.loads(path.read_text()).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a key file: expected a JSON object of keys") from error


def write_keys(path: Path, keys: dict[int, str]) -> None:
    """Write `keys` so that only the owner can read them, never half a file."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({str(version): key for version, key in sorted(keys.items())}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
