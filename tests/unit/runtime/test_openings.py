"""What makes a container's walls lower is told, and nothing else."""

import msgspec
import pytest

from builder.model.host_access import HostAccess, parse_host_access
from builder.runtime.record.container import Bind, Container, Limits
from builder.runtime.record.openings import openings
from tests.support.containers.oci import CONTAINER

LIMITED = Limits(memory=1 << 30, cpus=1.0, pids=100, disk=1 << 30)


def container(*binds: Bind, limits: Limits = LIMITED) -> Container:
    return msgspec.structs.replace(CONTAINER, binds=binds, limits=limits)


def test_nothing_is_open_where_all_is_shut() -> None:
    shut = container(Bind(source="/srv", target="/srv", read_only=True))
    assert list(openings(shut, [("oven", "none")])) == []


def test_folders_that_are_written_from_inside() -> None:
    given = container(Bind(source="/srv", target="/data"))
    assert list(openings(given, [])) == ["root inside writes in `/srv`"]


@pytest.mark.parametrize("text", ["all", "25+53/udp"])
def test_what_of_the_host_is_reached(text: str) -> None:
    access: HostAccess = parse_host_access(text)
    assert list(openings(container(), [("oven", access)])) == [
        f"reaches {text} of the host on `oven`"
    ]


def test_limits_that_are_missing() -> None:
    given = container(limits=Limits(memory=1 << 30))
    assert list(openings(given, [])) == ["no limit of cpus, disk"]


def test_features_and_devices() -> None:
    given = msgspec.structs.replace(container(), features=("nesting",), devices=("/dev/sda",))
    assert list(openings(given, [])) == [
        "sees what is masked in `/proc` and `/sys`",
        "root inside has the host's `/dev/sda`",
    ]
