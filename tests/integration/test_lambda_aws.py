"""The Lambda entry points with a bucket, a queue and a secret of AWS, which moto plays."""

from __future__ import annotations

import json
import math
import stat
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
import orjson
import polars as pl
import pytest
from moto import mock_aws

from ingest_lambda import handler as entry
from ingest_lambda.edge import Edge, open_edge
from ingest_lambda.lambda_function import EdgeFunction
from ingest_lambda.lambda_objects import ObjectsNotLanded
from ingest_lambda.lambda_secrets import SecretFiles
from telemetry_contracts.sealing import SealBox
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.access_keys.key_file import create_key
from telemetry_platform.delta import open_table
from telemetry_platform.settings import Settings
from tests.conftest import process_settings
from tests.unit.ingest_lambda.test_lambda_function import http_event
from tests.unit.ingest_lambda.test_lambda_records import golden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

REGION = "us-east-1"
BUCKET = "telemetry-lake"
KEY_FILES = ("api_keys.json", "seal_keys.json", "token_keys.json")
READINGS = (
    "sensor_id,location,lat,lon,timestamp,pressure,temperature,humidity\n"
    "1,2,42.1,23.1,2026-11-01T00:00:00,94000,21,40\n"
    "1,2,42.1,23.1,2026-11-01T00:01:00,94000,2100,40\n"
)


def phone(number: int) -> bytes:
    time_of_it = f"2026-01-05T10:00:00.{number:06d}"
    return orjson.dumps({"session": {"id": "s", "timestamp": time_of_it}})


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def api_key(tmp_path: Path) -> str:
    """Write key files to a directory; returns a key."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    KeyRing.generate().save(secrets / "token_keys.json")
    SealBox.generate().save(secrets / "seal_keys.json")
    return create_key(secrets / "api_keys.json", "test", ["*"])[1]


@pytest.fixture
def edge(tmp_path: Path, api_key: str) -> Edge:
    assert api_key
    (tmp_path / "lake").mkdir()
    return open_edge(
        Settings(
            home=tmp_path,
            lake_root=str(tmp_path / "lake"),
            s3_bucket=BUCKET,
            spool_max_bytes=0,
            queue_sources={"phones": "mobile"},
            max_events_per_post=4,
        )
    )


@pytest.fixture
def function(edge: Edge) -> Iterator[EdgeFunction]:
    function = EdgeFunction(edge)
    yield function
    function.close()


@pytest.fixture
def s3() -> Any:
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket=BUCKET)
    return client


def rows(edge: Edge, path: str) -> pl.DataFrame:
    table = open_table(edge.settings, path)
    assert table is not None
    return pl.scan_delta(table).collect()


def keys(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def test_dropped_files_land_once_and_leave_the_inbox(
    edge: Edge, function: EdgeFunction, s3: Any
) -> None:
    lines = b"\n".join([phone(1), phone(2), b"no JSON", phone(3), phone(4), phone(5)])
    s3.put_object(Bucket=BUCKET, Key="inbox/room 1,north.csv", Body=READINGS.encode())
    s3.put_object(Bucket=BUCKET, Key="inbox/mobile/phones.ndjson", Body=lines)
    assert function(golden("s3_put"), None) == {"landed": 2}
    events = rows(edge, "landing/events")
    assert sorted(events["source"]) == ["environment"] + ["mobile"] * 5
    assert rows(edge, "landing/rejected").height == 1
    files = rows(edge, "landing/files").sort("file")
    assert files.select("file", "rows", "accepted", "rejected").rows() == [
        ("phones.ndjson", 6, 5, 1),
        ("room 1,north.csv", 2, 1, 1),
    ]
    assert not [key for key in keys(s3) if key.startswith("inbox/")]
    (kept,) = [key for key in keys(s3) if key.endswith("phones.ndjson.sealed")]
    sealed = s3.get_object(Bucket=BUCKET, Key=kept)["Body"].read()
    assert edge.box.open(sealed) == lines
    assert function(golden("s3_put"), None) == {"landed": 0}
    assert rows(edge, "landing/events").height == 6


def test_a_file_of_another_kind_stays_where_it_is(function: EdgeFunction, s3: Any) -> None:
    event = golden("s3_put")
    for record in event["Records"]:
        record["s3"]["object"]["key"] = "inbox/readme.txt"
    s3.put_object(Bucket=BUCKET, Key="inbox/readme.txt", Body=b"hello")
    assert function(event, None) == {"landed": 0}
    assert keys(s3) == ["inbox/readme.txt"]


def test_objects_elsewhere_are_refused(function: EdgeFunction, s3: Any) -> None:
    event = golden("s3_put")
    for record in event["Records"]:
        record["s3"]["object"]["key"] = "landing/events/part-0.parquet"
    with pytest.raises(ObjectsNotLanded):
        function(event, None)
    assert keys(s3) == []


def queue_event(messages: list[Any], arn: str) -> dict[str, Any]:
    """Return what Lambda makes of messages that it received."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
                "messageAttributes": {
                    name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": REGION,
            }
            for message in messages
        ]
    }


def test_a_queue_is_emptied_of_what_is_durable_and_of_nothing_else(
    edge: Edge, function: EdgeFunction
) -> None:
    sqs = boto3.client("sqs", region_name=REGION)
    url = sqs.create_queue(QueueName="phones", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    sqs.send_message(QueueUrl=url, MessageBody=phone(1).decode())
    sqs.send_message(QueueUrl=url, MessageBody=f"[{phone(2).decode()},{phone(3).decode()}]")
    sqs.send_message(
        QueueUrl=url,
        MessageBody='{"crumbs": 7}',
        MessageAttributes={"source": {"DataType": "String", "StringValue": "toaster"}},
    )

    def poll() -> tuple[int, int]:
        found = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        messages = found.get("Messages", [])
        answer = function(queue_event(messages, arn), None)
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages), len(failed)

    edge.events.max_queued_rows = 1
    assert poll() == (3, 1)
    edge.events.max_queued_rows = 100
    assert poll() == (1, 0)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    assert rows(edge, "landing/events")["event_id"].n_unique() == 3
    assert list(rows(edge, "landing/rejected")["source"]) == ["unknown"]


def secret_of(directory: Path) -> str:
    return json.dumps({name: json.loads((directory / name).read_text()) for name in KEY_FILES})


def test_a_rotated_secret_reaches_a_running_instance(
    tmp_path: Path,
    api_key: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert api_key
    client = boto3.client("secretsmanager", region_name=REGION)
    first = secret_of(tmp_path / "secrets")
    arn = client.create_secret(Name="edge", SecretString=first)["ARN"]
    copy = tmp_path / "copy"
    files = SecretFiles(arn, copy, client)
    files.refresh()
    assert json.loads(secret_of(copy)) == json.loads(first)
    assert {stat.S_IMODE((copy / name).stat().st_mode) for name in KEY_FILES} == {0o600}
    create_key(tmp_path / "secrets" / "api_keys.json", "another", ["*"])
    client.put_secret_value(SecretId=arn, SecretString=secret_of(tmp_path / "secrets"))

    def is_new() -> bool:
        files.refresh()
        return "another" in (copy / "api_keys.json").read_text()

    # However long the lines above took, the secret is young, and then it is old.
    monkeypatch.setattr("ingest_lambda.lambda_secrets._MAX_AGE_SECONDS", math.inf)
    assert not is_new()
    monkeypatch.setattr("ingest_lambda.lambda_secrets._MAX_AGE_SECONDS", 0.0)
    assert is_new()
    client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert is_new(), "keys stay when it is gone"
    assert "not refreshed" in caplog.text


def test_a_secret_of_another_form_is_refused(tmp_path: Path) -> None:
    client = boto3.client("secretsmanager", region_name=REGION)
    arn = client.create_secret(Name="other", SecretString='{"password": "hidden"}')["ARN"]
    with pytest.raises(ValueError, match=r"api_keys\.json") as refused:
        SecretFiles(arn, tmp_path / "files", client).refresh()
    assert "hidden" not in str(refused.value)


def test_the_entry_point_opens_the_edge_with_the_secret(tmp_path: Path, api_key: str) -> None:
    client = boto3.client("secretsmanager", region_name=REGION)
    secret = secret_of(tmp_path / "secrets")
    arn = client.create_secret(Name="edge", SecretString=secret)["ARN"]
    (tmp_path / "lake").mkdir()
    with process_settings(
        home=str(tmp_path),
        lake_root=str(tmp_path / "lake"),
        secrets_arn=arn,
        secrets_dir=str(tmp_path / "instance"),
    ):
        try:
            answer = entry.handler(http_event("http_api_v2", api_key), None)
        finally:
            entry._function().close()
            entry._function.cache_clear()
            entry._secret_files.cache_clear()
    assert answer["statusCode"] == HTTPStatus.ACCEPTED
    assert not (tmp_path / "spool").exists()
