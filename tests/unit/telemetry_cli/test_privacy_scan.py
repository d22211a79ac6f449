"""The search finds a plain value wherever it may hide, and repeats it nowhere."""

import gzip
import io
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from device_sim.privacy import EMAILS, IP_ADDRESSES, MARKERS, PLAIN_VALUES, WIFI_NAMES
from telemetry_cli.privacy_scan import Needles, decoded, scan_files, simulated_values

pytestmark = pytest.mark.unit
SECRET = EMAILS[0]
NEEDLES = simulated_values()


def parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file, compression="zstd")
    return file.getvalue()


@given(st.lists(st.sampled_from(sorted(PLAIN_VALUES)), min_size=1, max_size=5), st.data())
def test_a_value_is_found_wherever_a_stream_is_cut(values: list[str], data: st.DataObject) -> None:
    text = " ".join(["tok_1_abc", *values, "192.0.20.1"]).encode()
    cut = data.draw(st.integers(1, 40))
    chunks = [text[start : start + cut] for start in range(0, len(text), cut)]
    assert sum(NEEDLES.count(window) for window in NEEDLES.windows(chunks)) >= len(values)


def test_tokens_and_addresses_of_the_stack_are_no_hits() -> None:
    text = b"tok_1_mfrggzdfmztwq2lk 127.0.0.1 10.0.2.100 localhost telemetry@example.com"
    assert NEEDLES.count(text) == 0


def test_a_marker_alone_is_no_hit() -> None:
    assert NEEDLES.count(" ".join(MARKERS).encode()) == 0


@pytest.mark.parametrize(
    "body",
    [
        parquet(pl.DataFrame({"a": [None, f'{{"user":"{SECRET}"}}']})),
        parquet(pl.DataFrame({"a": [SECRET.encode()]})),
        parquet(pl.DataFrame({"a": [{"stats": [SECRET]}]})),
        gzip.compress(SECRET.encode()),
        zstandard.compress(SECRET.encode()),
    ],
    ids=["text column", "binary column", "nested column", "gzip", "zstd"],
)
def test_compressed_objects_are_looked_into(body: bytes) -> None:
    assert sum(NEEDLES.count(part) for part in decoded(body)) == 1


def test_bytes_that_only_look_compressed_are_passed_over() -> None:
    assert list(decoded(b"\x1f\x8bnothing of the kind")) == []
    assert list(decoded(b"plain")) == []


def test_files_are_searched_except_the_keys(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "edge.log").write_text(f"{WIFI_NAMES[0]} {IP_ADDRESSES[0]}\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text(SECRET)
    place = scan_files(tmp_path, NEEDLES)
    assert place.hits == {"logs/edge.log": 2}
    assert SECRET not in repr(place)
    assert WIFI_NAMES[0] not in repr(place)


def test_without_markers_the_values_themselves_are_looked_for() -> None:
    assert Needles(["alpha", "beta"]).count(b"alpha beta alpha") == 3
