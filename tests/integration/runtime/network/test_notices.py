"""Notices: what keeps containers from their network is said when one is started, and once."""

from pathlib import Path

import msgspec
import pytest

from builder.host.network import link
from builder.host.places import Places
from builder.model.network import DEFAULT
from builder.model.value import Digest
from builder.runtime.network import definitions, dns, inspect
from builder.runtime.network.growth import BridgeSpec
from builder.runtime.record.container import Interface, new_container
from tests.support.hosts.networks import Rig
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:ss")


def test_each_thing_is_said_once(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(data=tmp_path, cache=tmp_path, runtime=tmp_path, settings=())
    fresh = new_container("web", Digest("sha256:" + "ab" * 32), "tiny")
    container = msgspec.structs.replace(fresh, interfaces=(Interface(network=DEFAULT),))

    def said() -> list[str]:
        return list(inspect.notices(places, container, rig.folder))

    # Also of a network that has no members any more.
    assert said() == []
    key = definitions.key_of(places, DEFAULT)
    rig.connect(rig.container(), "web", BridgeSpec(key, definitions.ready(places, DEFAULT)))
    assert said() == []
    rig.switch.detach("web")

    chain = "type filter hook forward priority 0; policy drop;"
    link.apply_rules(f"table inet filter {{ chain f {{ {chain} }}; }}")
    monkeypatch.setattr(dns, "find_program", lambda _: None)
    try:
        rig.connect(rig.container(), "web", BridgeSpec(key, definitions.ready(places, DEFAULT)))
        first, second = said()
        assert "apt-get install dnsmasq-base" in first
        assert "`inet filter f`" in second
        assert "nft 'insert rule inet filter f iifname" in second
        assert said() == []
    finally:
        link.apply_rules("delete table inet filter")
        (rig.folder / "told").unlink()
