"""The settings of every process, read from `TELEMETRY_*` variables and nowhere else."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, model_validator
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
    aws_session_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("AWS_SESSION_TOKEN", "TELEMETRY_AWS_SESSION_TOKEN"),
    )
    lake_root: str | None = None
    """Where the tables are; by default the bucket. A local directory serves unit tests."""

    postgres_dsn: SecretStr | None = None
    dagster_postgres_dsn: SecretStr | None = None
    access_postgres_dsn: SecretStr | None = None
    """The analytics database for the access API, as a role that may read marts and nothing else."""
    access_s3_access_key_id: str | None = None
    """The lake for the access API, as an account that may read what landed and tables' logs."""
    access_s3_secret_access_key: SecretStr | None = None
    ingest_url: str = "http://127.0.0.1:8080"
    dagster_url: str = "http://127.0.0.1:3000"
    access_url: str = "http://127.0.0.1:8081"

    edge_host: str = "127.0.0.1"
    edge_port: int = 8080
    access_host: str = "127.0.0.1"
    access_port: int = 8081
    access_open_on_loopback: bool = False
    """Whether pages open without a key in a browser on this machine; restricted columns do not."""
    access_connections: int = Field(default=8, ge=1)
    """Most connections to the database that pages of one process use at a time."""
    access_exports: int = Field(default=2, ge=1)
    """Most answers of one process that are streamed at a time."""
    access_page_seconds: float = Field(default=10, gt=0)
    access_export_seconds: float = Field(default=900, gt=0)
    access_audit_path: Path | None = None
    """File that each read of restricted columns is recorded in."""
    webserver_port: int = 3000
    code_server_port: int = 4266
    s3_port: int = 8333
    postgres_port: int = 5432

    secrets_path: Path | None = Field(
        default=None, validation_alias=AliasChoices("TELEMETRY_SECRETS_DIR", "secrets_path")
    )
    stream_open_on_loopback: bool = False
    tls_certificate: Path | None = None
    """PEM file with the edge's certificate and its chain; with `tls_key` the edge serves HTTPS."""
    tls_key: Path | None = None

    rate_limit_events_per_second: float | None = Field(default=None, gt=0)
    """What a sender may bring whose key has no limit of its own; by default any number."""
    rate_limit_burst_events: int | None = Field(default=None, ge=1)
    """What it may bring at once after a pause; by default what 10 s of the rate bring."""
    auth_failure_limit: int = Field(default=20, ge=1)
    """Requests without a good key that one address may make in a window before it gets 429."""
    auth_failure_window_seconds: float = Field(default=60, gt=0)

    jwt_issuer: str | None = None
    """Issuer of OAuth 2.0 access tokens that are good as a key; off without it."""
    jwt_audience: str | None = None
    jwt_jwks_url: str | None = None
    """Where the issuer publishes its keys: `https`, or `http` on loopback."""
    jwt_jwks_file: Path | None = None
    jwt_jwks_refresh_seconds: float = Field(default=300, gt=0)
    jwt_scope_claim: str = "scope"
    jwt_scope_prefix: str = "telemetry:"
    """The scope `telemetry:mobile` lets a token post mobile events, `telemetry:*` any."""

    inbox_dir: Path | None = None
    quarantine_dir: Path | None = None
    inbox_poll_seconds: float = 1.0

    commit_spacing_ms: int = 200
    max_head_bytes: int = 16 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    max_body_bytes: int = 5 * _MEBIBYTE
    max_decompressed_bytes: int = 50 * _MEBIBYTE
    max_events_per_post: int = 10_000
    recent_ids: int = 500_000
    reading_processes: int = Field(default=1, ge=0, le=64)
    """Processes that read large posts for the edge, so that it can go on meanwhile."""

    spool_path: Path | None = None
    spool_max_bytes: int = 1024 * _MEBIBYTE
    """Most bytes that wait on the disk while storage is away, for each table; 0 turns it off."""

    mqtt_port: int = 1883
    mqtt_url: str | None = None
    """Broker, `mqtt://host:1883` or `mqtts://host:8883`; without it there is no bridge."""
    mqtt_version: Literal["5", "3.1.1"] = "5"
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = None
    mqtt_ca_file: Path | None = None
    mqtt_cert_file: Path | None = None
    mqtt_key_file: Path | None = None
    mqtt_client_id: str | None = None
    """Names the session at the broker: the same after a restart, and no two bridges' together."""
    mqtt_shared_group: str = ""
    """Group whose bridges share the messages; without it each bridge gets all of them."""
    mqtt_topics: dict[str, str] = {"telemetry/+/#": "+"}
    """Topic filter to source; `+` is the level that the filter's first `+` stands for."""
    mqtt_receive_maximum: int = Field(default=1000, ge=1, le=65_535)
    """Messages taken from the broker and not yet acknowledged."""
    mqtt_session_expiry_seconds: int = 7 * 24 * 3600

    queue_sources: dict[str, str] = {}
    """Name of an SQS queue or Kinesis stream to the source of what it brings."""
    secrets_arn: str | None = None
    """AWS Secrets Manager secret with the key files, for the Lambda function."""

    contracts_dir: Path | None = None
    """Folder of contracts beside the built-in ones, followed while processes run."""
    contracts_poll_seconds: float = Field(default=2.0, gt=0)

    partitions_start: str = "2026-01-01T00"
    retention_days: int | None = Field(default=None, ge=1)
    """Days (UTC) before today whose events Postgres keeps; by default all. The lake keeps all."""
    log_level: str = "INFO"

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key need each other")
        if self.rate_limit_burst_events and not self.rate_limit_events_per_second:
            raise ValueError("rate_limit_burst_events needs rate_limit_events_per_second")
        tokens = (self.jwt_issuer, self.jwt_audience, self.jwt_jwks_url or self.jwt_jwks_file)
        if any(tokens) and not all(tokens):
            raise ValueError("jwt_issuer needs jwt_audience and jwt_jwks_url or jwt_jwks_file")
        if self.jwt_jwks_url and self.jwt_jwks_file:
            raise ValueError("jwt_jwks_url and jwt_jwks_file exclude each other")
        if self.jwt_jwks_url and not _is_private_or_local(self.jwt_jwks_url):
            raise ValueError("jwt_jwks_url must begin with https")
        return self

    @property
    def secrets_dir(self) -> Path:
        """Directory of the key files."""
        return self.secrets_path or self.home / "secrets"

    @property
    def spool_dir(self) -> Path:
        """Directory of the batches that wait while storage is away."""
        return self.spool_path or self.home / "spool"

    @property
    def access_dbt_docs(self) -> Path:
        """Documentation of the dbt project as one page, which `make docs` writes."""
        return self.home / "dbt" / "docs" / "static_index.html"

    @property
    def access_audit_file(self) -> Path:
        """File that each read of restricted columns is recorded in."""
        return self.access_audit_path or self.home / "audit" / "restricted_reads.jsonl"

    @property
    def contracts_path(self) -> Path:
        """Folder of contracts beside the built-in ones; it need not exist."""
        return self.contracts_dir or self.home / "contracts"

    @property
    def accepted_contracts(self) -> Path:
        """Folder with the last accepted version of each contract from `contracts_path`."""
        return self.home / "accepted_contracts"

    @property
    def root(self) -> str:
        """URI under which every Delta table lies."""
        return self.lake_root or f"s3://{self.s3_bucket}"


def _is_private_or_local(url: str) -> bool:
    """Whether nobody between here and the server can change what `url` answers."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    )


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
