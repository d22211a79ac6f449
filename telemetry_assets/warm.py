"""Importing this does once what every run would do anew, so that forked runs have it done.

No thread, connection or runtime may outlive the import: it would be broken after the fork. Polars,
deltalake and what imports them start threads when they are imported and stay out for that reason.
See docs/adr/0006-latency-of-an-hour.md.
"""

import gc

import boto3
import dagster
import dagster_postgres
import dbt.adapters.postgres
import open_data_contract_standard.model
import psycopg
import pydantic_settings

from telemetry_assets.marts_build import warm
from telemetry_contracts.registry import load_registry
from telemetry_platform.settings import get_settings

PRELOADED = (
    boto3,
    dagster,
    dagster_postgres,
    dbt.adapters.postgres,
    open_data_contract_standard.model,
    psycopg,
    pydantic_settings,
)

load_registry()
warm(get_settings())
# What is there now is shared by every run: their collectors need not look at it, nor copy it.
gc.freeze()
