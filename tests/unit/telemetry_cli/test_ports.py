"""Ports: the preferred, else a free one, the same after a restart, never shared by two stacks."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from telemetry_cli.embedded.ports import LOOPBACK, PortLeases, choose_ports, is_free

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.unit


@pytest.fixture
def taken_port() -> Generator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def leases(tmp_path: Path) -> Generator[PortLeases]:
    with PortLeases(tmp_path) as made:
        yield made


def test_a_taken_preferred_port_is_replaced_by_a_free_one(
    taken_port: int, leases: PortLeases
) -> None:
    chosen = choose_ports({"edge": taken_port}, {}, leases)
    assert chosen["edge"] != taken_port
    assert is_free(chosen["edge"])


def test_all_ports_differ_even_when_the_same_is_remembered(leases: PortLeases) -> None:
    names = {"a": None, "b": None, "c": None}
    port = choose_ports({"first": None}, {}, leases)["first"]
    assert len(set(choose_ports(names, dict.fromkeys(names, port), leases).values())) == 3


def test_a_remembered_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    with PortLeases(tmp_path) as leases:
        first = choose_ports({"s3": None}, {}, leases)
    with PortLeases(tmp_path) as leases:
        assert choose_ports({"s3": None}, first, leases) == first


def test_a_remembered_port_that_was_taken_meanwhile_is_given_up(
    taken_port: int, leases: PortLeases
) -> None:
    assert choose_ports({"s3": None}, {"s3": taken_port}, leases)["s3"] != taken_port


def test_two_stacks_never_choose_the_same_port_though_nothing_listens_yet(tmp_path: Path) -> None:
    with PortLeases(tmp_path) as one, PortLeases(tmp_path) as other:
        first = choose_ports({"code_server": None}, {}, one)
        second = choose_ports({"code_server": first["code_server"]}, {}, other)
        assert first != second
