"""What all tiers share, and the rule that keeps the unit tier fast."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from telemetry_contracts.registry import Registry, load_registry
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.settings import Settings, get_settings
from tests.scheduling import WHOLE_STACK, ByServers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from xdist.remote import Producer

# A busy machine is slow, not wrong; the unit tier has 20 s for everything; and a test that passed
# passes again, so that what fails is what was changed. `--hypothesis-profile=explore` draws anew.
_PATIENT = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.register_profile("telemetry", _PATIENT, max_examples=25, derandomize=True)
hypothesis_settings.register_profile("explore", _PATIENT, max_examples=500)
hypothesis_settings.load_profile("telemetry")

TIERS = ("unit", "defs", "integration", "faults")
SLOW_FIXTURES = frozenset({"servers", "postgres_dsn", "object_store", "stack", "marts"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test the marker of its folder, and begin with what takes longest."""
    items.sort(key=lambda item: WHOLE_STACK not in item.path.parts)
    for item in items:
        tier = item.path.relative_to(Path(__file__).parent).parts[0]
        if tier in TIERS and item.get_closest_marker(tier) is None:
            item.add_marker(tier)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServers:
    """Tell the workers' scheduler which tests belong together."""
    return ByServers(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a unit test that would start a server, before it does."""
    slow = SLOW_FIXTURES & set(getattr(item, "fixturenames", ()))
    if slow and item.get_closest_marker("unit"):
        names = ", ".join(sorted(slow))
        pytest.fail(f"a unit test asks for {names}; move it to tests/integration", pytrace=False)


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Return the built-in contracts."""
    return load_registry()


@pytest.fixture(scope="session")
def keyring() -> KeyRing:
    """Return a key ring that is the same in every run, so that tokens can be golden."""
    return KeyRing({1: bytes(range(32))})


@pytest.fixture
def lake_settings(tmp_path: Path) -> Settings:
    """Return settings whose Delta tables lie in a local directory of this test."""
    lake = tmp_path / "lake"
    lake.mkdir()
    return Settings(home=tmp_path, lake_root=str(lake))


@contextmanager
def process_settings(**variables: str) -> Generator[Settings]:
    """Set `TELEMETRY_*` variables as a process would find them; undone at the end."""
    before = dict(os.environ)
    os.environ.update({f"TELEMETRY_{name.upper()}": value for name, value in variables.items()})
    get_settings.cache_clear()
    try:
        yield get_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
        get_settings.cache_clear()


@pytest.fixture(scope="session")
def servers() -> Iterator[Settings]:
    """Start the object store and Postgres once for all tests; returns how to reach them."""
    # Imported here: the unit tier does not pay for servers.
    from telemetry_cli.embedded.stack import EmbeddedStack
    from tests.stack_process import stack_home

    with stack_home() as home, EmbeddedStack(Settings(home=home), only={"s3", "postgres"}) as stack:
        stack.start()
        yield stack.settings


@pytest.fixture(scope="session")
def object_store(servers: Settings) -> Settings:
    """Return settings of a running object store."""
    return servers


@pytest.fixture(scope="module")
def postgres_dsn(servers: Settings) -> Iterator[str]:
    """Make an empty database for one module; returns its address."""
    import psycopg
    from psycopg import sql

    from telemetry_cli.embedded.postgres import OWNER, SUPERUSER
    from telemetry_cli.embedded.postgres import postgres_dsn as address_of
    from telemetry_cli.embedded.secrets import read_secrets

    secrets = read_secrets(servers.secrets_dir)
    port, name = servers.postgres_port, f"test_{uuid.uuid4().hex}"
    administrator = address_of(port, secrets.postgres_superuser_password, "postgres", SUPERUSER)
    database, owner = sql.Identifier(name), sql.Identifier(OWNER)
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
        yield address_of(port, secrets.postgres_password, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
