"""Key files of a Lambda instance: one secret of AWS Secrets Manager, written to its own disk.

The secret is a JSON object of file name to file content, as `telemetry_contracts.keyfile` and
`ingest_lambda.key_store` read them.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_log = logging.getLogger(__name__)
_PRIVATE_DIRECTORY, _PRIVATE_FILE = 0o700, 0o600
# With the second that `key_store` takes, a revoked key is refused within 5 s.
_MAX_AGE_SECONDS = 3.0
_FILES = frozenset({"api_keys.json", "seal_keys.json", "token_keys.json"})


class SecretFiles:
    """The files of one secret in a directory, brought up to date when they are older than 3 s."""

    def __init__(self, arn: str, directory: Path, client: Any) -> None:  # noqa: ANN401  (boto3)
        self._arn = arn
        self._directory = directory
        self._client = client
        self._version = ""
        self._looked_at = -_MAX_AGE_SECONDS

    def refresh(self) -> None:
        """Fetch the secret when it is time; write the files when it has changed.

        Raises:
            BotoCoreError, ClientError: It could never be read.
            ValueError: It is not an object of the key files.
        """
        if time.monotonic() - self._looked_at < _MAX_AGE_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            found = self._client.get_secret_value(SecretId=self._arn)
        except (BotoCoreError, ClientError) as error:
            if not self._version:
                raise
            # Keys read before stay in force, as with a key file that cannot be read.
            _log.warning("secret not refreshed", extra={"error": type(error).__name__})
            return
        if found["VersionId"] == self._version:
            return
        for name, text in _files(found["SecretString"]).items():
            self._write(name, text)
        self._version = found["VersionId"]

    def _write(self, name: str, text: str) -> None:
        self._directory.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        draft = self._directory / f"{name}.new"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(self._directory / name)


def _files(secret: str) -> dict[str, str]:
    try:
        found = json.loads(secret)
    except ValueError:
        found = None
    if not isinstance(found, dict) or set(found) != _FILES:
        raise ValueError(f"the secret must be a JSON object with {', '.join(sorted(_FILES))}")
    return {name: json.dumps(content) for name, content in found.items()}
