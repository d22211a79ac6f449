"""Key files: versioned base64 keys in JSON, mode 0600, replaced atomically."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LEAST_BYTES = 16


def read_keys(path: Path) -> dict[int, bytes]:
    """Return keys by version.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a key file.
    """
    try:
        found = json.loads(path.read_text()).items()
        keys = {int(version): b64decode(key, validate=True) for version, key in found}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a key file: expected a JSON object of keys") from error
    if any(len(key) < _LEAST_BYTES for key in keys.values()):
        raise ValueError(f"{path}: a key is shorter than {_LEAST_BYTES} bytes")
    return keys


def write_keys(path: Path, keys: dict[int, bytes]) -> None:
    """Write `keys` so that only the owner can read them, never half a file."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({str(v): b64encode(key).decode() for v, key in sorted(keys.items())}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
