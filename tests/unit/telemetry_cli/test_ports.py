"""Ports: the preferred, else a free one, and the same after a restart."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from telemetry_cli.embedded.ports import LOOPBACK, choose_ports, is_free

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.unit


@pytest.fixture
def taken_port() -> Generator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_preferred_port_is_replaced_by_a_free_one(taken_port: int) -> None:
    chosen = choose_ports({"edge": taken_port}, {})
    assert chosen["edge"] != taken_port
    assert is_free(chosen["edge"])


def test_all_ports_differ_even_when_the_same_is_preferred(taken_port: int) -> None:
    chosen = choose_ports({"a": taken_port, "b": taken_port, "c": None, "d": None}, {})
    assert len(set(chosen.values())) == 4


def test_a_remembered_port_is_kept_while_it_is_free() -> None:
    first = choose_ports({"s3": None}, {})
    assert choose_ports({"s3": None}, first) == first


def test_a_remembered_port_that_was_taken_meanwhile_is_given_up(taken_port: int) -> None:
    assert choose_ports({"s3": None}, {"s3": taken_port})["s3"] != taken_port
