"""What goes to Lambda: the locked packages, the image's files and the template's words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest_lambda.lambda_records import Form, form_of
from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[3]
AWS = PROJECT / "deploy" / "aws"
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short tags as plain values."""


_Loader.add_multi_constructor("!", lambda loader, _, node: _plain(loader, node))


def _plain(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    return yaml.load((AWS / "template.yaml").read_text(), _Loader)["Resources"]  # noqa: S506  (safe)


def pins(file: Path) -> set[tuple[str, str]]:
    return set(_PIN.findall(file.read_text()))


def test_lambda_gets_the_versions_that_are_tested() -> None:
    image, tested = pins(AWS / "requirements.lock"), pins(PROJECT / "requirements.lock")
    assert image
    names = {name for name, _ in tested}
    assert {pin for pin in image if pin[0] in names} <= tested


def test_the_template_sets_variables_that_exist(resources: dict[str, Any]) -> None:
    variables = resources["EdgeFunction"]["Properties"]["Environment"]["Variables"]
    names = {name.removeprefix("TELEMETRY_").lower() for name in variables}
    assert names <= set(Settings.model_fields)


def test_the_rule_sends_the_form_that_the_function_reads(resources: dict[str, Any]) -> None:
    sql = resources["Devices"]["Properties"]["TopicRulePayload"]["Sql"]
    columns = re.findall(r" AS (\w+)", sql)
    assert form_of(dict.fromkeys(columns, "")) is Form.IOT
    assert "source" in columns


def test_failed_records_of_queues_come_again_one_by_one(resources: dict[str, Any]) -> None:
    events = resources["EdgeFunction"]["Properties"]["Events"]
    for name in ("Queue", "Stream"):
        assert events[name]["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_function_may_do_nothing_to_everything(resources: dict[str, Any]) -> None:
    (policy,) = resources["EdgeRole"]["Properties"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert "*" not in action, statement["Sid"]
        assert statement["Resource"] != "*", statement["Sid"]
