"""The settings of every process, read from `TELEMETRY_*` variables and nowhere else."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_MEBIBYTE = 1024 * 1024


class Settings(BaseSettings):
    """One object for the whole system; the embedded stack fills it, production sets variables.

    Sizes are bytes, times are in the unit their name ends with.
    """

    model_config = SettingsConfigDict(
        env_prefix="TELEMETRY_", populate_by_name=True, extra="ignore", env_ignore_empty=True
    )

    home: Path = Path(".telemetry")
    s3_endpoint: str | None = None
    s3_bucket: str = "telemetry-lake"
    s3_region: str = "us-east-1"
    aws_access_key_id: str | None = Field(
        default=None,
        validation_alias=AliasChoices("AWS_ACCESS_KEY_ID", "TELEMETRY_AWS_ACCESS_KEY_ID"),
    )
    aws_secret_access_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("AWS_SECRET_ACCESS_KEY", "TELEMETRY_AWS_SECRET_ACCESS_KEY"),
    )
    lake_root: str | None = None
    """Where the tables are; by default the bucket. A local directory serves unit tests."""

    postgres_dsn: SecretStr | None = None
    dagster_postgres_dsn: SecretStr | None = None
    ingest_url: str = "http://127.0.0.1:8080"
    dagster_url: str = "http://127.0.0.1:3000"

    edge_host: str = "127.0.0.1"
    edge_port: int = 8080
    webserver_port: int = 3000
    code_server_port: int = 4266
    s3_port: int = 8333
    postgres_port: int = 5432

    secrets_path: Path | None = Field(
        default=None, validation_alias=AliasChoices("TELEMETRY_SECRETS_DIR", "secrets_path")
    )
    stream_open_on_loopback: bool = False
    inbox_dir: Path | None = None
    quarantine_dir: Path | None = None
    inbox_poll_seconds: float = 2.0

    commit_spacing_ms: int = 200
    max_body_bytes: int = 5 * _MEBIBYTE
    max_decompressed_bytes: int = 50 * _MEBIBYTE
    max_events_per_post: int = 10_000
    recent_ids: int = 1_000_000

    spool_path: Path | None = None
    spool_max_bytes: int = 1024 * _MEBIBYTE
    """Most bytes that wait on the disk while storage is away, for each table; 0 turns it off."""

    partitions_start: str = "2026-01-01T00"
    log_level: str = "INFO"

    @property
    def secrets_dir(self) -> Path:
        """Directory of the key files."""
        return self.secrets_path or self.home / "secrets"

    @property
    def spool_dir(self) -> Path:
        """Directory of the batches that wait while storage is away."""
        return self.spool_path or self.home / "spool"

    @property
    def root(self) -> str:
        """URI under which every Delta table lies."""
        return self.lake_root or f"s3://{self.s3_bucket}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
