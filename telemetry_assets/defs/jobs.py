"""The jobs: one refines an arrival hour from landing to marts, one reads the registries."""

from __future__ import annotations

import dagster as dg

REFINE = "refine_hour"
LAYERS = ("bronze", "silver", "gold", "warehouse", "marts")

# A step's own process costs seconds of imports; an hour is refined in one.
refine_hour = dg.define_asset_job(
    REFINE,
    selection=dg.AssetSelection.groups(*LAYERS),
    executor_def=dg.in_process_executor,
    description="Bring one arrival hour from landing to the marts. Can be repeated at will.",
)

load_registries = dg.define_asset_job(
    "load_registries",
    selection=dg.AssetSelection.groups("reference"),
    executor_def=dg.in_process_executor,
    description="Load the registries of devices and users from the bucket.",
)
