"""What `--network` and `-p` make of a container, and what they do not take."""

import pytest

from builder.cli.containers.options import network as options
from builder.model.errors import RecipeError
from builder.model.network import PortMapping
from builder.model.value import Digest
from builder.runtime.network import definitions
from builder.runtime.record.container import Container, Interface

NEW = Container(
    name="web", template=Digest("sha256:" + "ab" * 32), template_name="web", uuid="0" * 32,
    first_id=1, created=1, hostname="web", interfaces=(Interface(network="oven"),),
)  # fmt: skip


def _described(*networks: str, publish: tuple[str, ...] = (), of: Container = NEW) -> Container:
    return options.describe(of, {"networks": networks, "publish": publish})


def test_options_describe_interfaces_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "check_addresses", lambda *_: None)
    found = _described("oven,rate=10M", "web,address=10.1.0.5,address6=fd00::5", publish=("80",))
    assert found.interfaces == (
        Interface(network="oven", rate=10 << 20),
        Interface(network="web", address="10.1.0.5", address6="fd00::5"),
    )
    assert found.ports == (PortMapping(host=80, port=80),)
    # What is not given stays, and `none` takes it away.
    assert _described(of=found) == found
    assert _described(publish=("none",), of=found).ports == ()
    assert _described("none", publish=("none",), of=found).interfaces == ()


@pytest.mark.parametrize(
    "networks",
    [
        ("none", "oven"), ("oven", "oven"), ("oven,speed=5",), ("oven,address",), (",rate=1M",),
        ("",), ("oven,rate=1M,rate=2M",), ("oven,rate=",),
    ],
)  # fmt: skip
def test_options_that_name_no_network(networks: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError):
        _described(*networks)


def test_container_without_a_network_publishes_nothing() -> None:
    with pytest.raises(RecipeError, match="cannot publish ports"):
        _described("none", publish=("80",))
