"""What assets use: the lake, the registry of contracts, and dbt."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.marts_build import MartsBuilder
from telemetry_platform.contracts import contracts_in_force
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Generator


class LakeResource(dg.ConfigurableResource):
    """Opens the lake that `TELEMETRY_*` settings name."""

    _lake: Lake | None = PrivateAttr(default=None)

    @property
    def lake(self) -> Lake:
        """The lake, opened at first use and kept for the run."""
        if self._lake is None:
            settings = get_settings()
            self._lake = Lake(settings, contracts_in_force(settings))
        return self._lake


class MartsResource(dg.ConfigurableResource):
    """dbt, which starts to import when a run that needs it starts."""

    _builder: MartsBuilder | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[MartsResource]:
        """Import dbt while the steps before the marts run, and let go of it at the end."""
        del context
        self._builder = MartsBuilder(get_settings())
        try:
            yield self
        finally:
            self._builder.close()

    @property
    def builder(self) -> MartsBuilder:
        """The builder of this run.

        Raises:
            RuntimeError: There is no run.
        """
        if self._builder is None:
            raise RuntimeError("the marts resource is used outside a run")
        return self._builder
