"""The same hour in PySpark: landed JSON to typed, deduplicated, split and aggregated Parquet.

Run by the Python of an environment that has pyspark, with Java as found:
`python spark_hour.py SPEC`, where SPEC is a JSON file that `benchmarks.spark_cases` writes. It
reads the Parquet files of the landing table and writes plain Parquet, because Delta's classes for
Spark are not on PyPI. It knows no enrichment, ledger, rule outcomes or device profiles.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pyspark.sql import (  # ty: ignore[import-not-found]
    Column,
    DataFrame,
    SparkSession,
    Window,
    functions,
)


def main() -> None:
    """Refine the hour as often as the specification says; print the seconds of start and runs."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began = time.perf_counter()
    spark = (
        SparkSession.builder.master("local[2]")
        .appName("hour")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", spec["memory"])
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(1).count()
    started = time.perf_counter() - began
    seconds = []
    for run in range(spec["runs"]):
        began = time.perf_counter()
        counts = _refine(spark, spec, Path(spec["out"]) / str(run))
        seconds.append(time.perf_counter() - began)
    spark.stop()
    print(json.dumps({"start": started, "seconds": seconds, **counts}))


def _refine(spark: SparkSession, spec: dict[str, Any], out: Path) -> dict[str, int]:
    """Write bronze, silver, quarantine, duplicates and partials by minute and hour."""
    landed = spark.read.parquet(*spec["files"])
    parsed = functions.from_json("payload", spec["payload_schema"]).alias("fields")
    bronze = landed.select(*_common(landed), parsed).select(*_common(landed), "fields.*")
    bronze.write.parquet(str(out / "bronze"))

    bronze = spark.read.parquet(str(out / "bronze"))
    arrival = Window.partitionBy("event_id").orderBy("received_at", "receipt_id")
    ordered = bronze.withColumn("place", functions.row_number().over(arrival))
    ordered.where("place > 1").drop("place").write.parquet(str(out / "duplicates"))
    first = ordered.where("place = 1").drop("place")
    reasons = functions.array_compact(
        functions.array(*[_reason(*limits) for limits in spec["ranges"]])
    )
    judged = first.withColumn("rules", reasons)
    judged.where(functions.size("rules") > 0).write.parquet(str(out / "quarantine"))
    judged.where(functions.size("rules") == 0).drop("rules").write.parquet(str(out / "silver"))

    silver = spark.read.parquet(str(out / "silver"))
    for unit in ("minute", "hour"):
        _partials(silver, spec["metrics"], unit).write.parquet(str(out / unit))
    return {
        "silver": silver.count(),
        "minutes": spark.read.parquet(str(out / "minute")).count(),
    }


def _common(landed: DataFrame) -> list[str]:
    return [name for name in landed.columns if name != "payload"]


def _reason(field: str, minimum: float | None, maximum: float | None) -> Column:
    broken = functions.lit(False)
    if minimum is not None:
        broken |= functions.col(field) < minimum
    if maximum is not None:
        broken |= functions.col(field) > maximum
    return functions.when(broken, functions.lit(f"range.{field}"))


def _partials(silver: DataFrame, metrics: list[str], unit: str) -> DataFrame:
    """Return n, mean, M2, extremes, first and last of each metric, device and span."""
    pairs = ", ".join(f"'{name}', cast({name} as double)" for name in metrics)
    long = silver.select(
        "device_id",
        "event_time",
        functions.date_trunc(unit, "event_time").alias("span"),
        functions.expr(f"stack({len(metrics)}, {pairs}) as (metric, value)"),
    ).where("value is not null")
    return long.groupBy("device_id", "metric", "span").agg(
        functions.count("value").alias("n"),
        functions.mean("value").alias("mean"),
        (functions.var_pop("value") * functions.count("value")).alias("m2"),
        functions.min("value").alias("minimum"),
        functions.max("value").alias("maximum"),
        functions.min_by("value", "event_time").alias("first_value"),
        functions.max_by("value", "event_time").alias("last_value"),
    )


if __name__ == "__main__":
    main()
