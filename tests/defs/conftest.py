"""The definitions, loaded once, on a lake of each test's own."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from telemetry_assets.definitions import definitions as load
from tests.conftest import process_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry_platform.settings import Settings


# Dagster reads pydantic models the old way, and partitioned checks are a preview to it.
LIBRARY_WARNINGS = (
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::dagster.PreviewWarning",
    "ignore::dagster.BetaWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the libraries of this tier warn; ours may not."""
    for item in items:
        if "definitions" in getattr(item, "fixturenames", ()):
            for known in LIBRARY_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(known))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home for what dbt parses, which takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def definitions(home: Path) -> dg.Definitions:
    """Return the code location as Dagster loads it."""
    with warnings.catch_warnings(), process_settings(home=str(home)):
        # dbt and its dependencies warn while they are imported.
        warnings.simplefilter("ignore")
        loaded = load()
    assert isinstance(loaded, dg.Definitions)
    return loaded


@pytest.fixture
def settings(home: Path, tmp_path: Path) -> Iterator[Settings]:
    """Return the settings of this process; its lake is an empty directory."""
    lake = tmp_path / "lake"
    lake.mkdir()
    with process_settings(home=str(home), lake_root=str(lake)) as found:
        yield found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Return a Dagster instance that is forgotten at the end."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made
