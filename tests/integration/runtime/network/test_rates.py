"""Rates: what a container sends and gets is held back, and whoever sends too fast has to wait."""

import contextlib
import sys
from pathlib import Path

import pytest

from builder.host.network import link
from builder.model.errors import HostError
from builder.model.network import Lease
from builder.runtime.network import addresses, rates
from tests.support.hosts.netns import Namespace
from tests.support.hosts.networks import GATEWAY, OVEN, WEB, Rig, cables, wish
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:tc")

BYTES = 1 << 20
RATE = 512 << 10
"""So that the bytes take two seconds, less what the bucket lets pass at once."""

SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 7100), 60) as s:
    s.sendall(bytes(int(sys.argv[2])))
    s.shutdown(socket.SHUT_WR)
    print(s.recv(100).decode())
"""

SINK = """
import socket, time
with socket.create_server(("0.0.0.0", 7100)) as server:
    print("ready", flush=True)
    while True:
        c, _ = server.accept()
        first = c.recv(65536)
        begun = time.monotonic()
        while c.recv(65536):
            pass
        c.sendall(f"{time.monotonic() - begun:.3f}".encode())
        c.close()
"""


def _seconds(sender: Namespace, receiver: Namespace, address: str) -> float:
    """Send bytes; give how long the receiver waited for all of them."""
    receiver.start(SINK)
    try:
        return float(sender.run(sys.executable, "-IS", "-c", SEND, address, str(BYTES)))
    finally:
        receiver.stop_servers()


def test_both_directions_are_held_back(rig: Rig) -> None:
    guest = rig.container()
    (lease,) = rig.connect(guest, "guest", wish(OVEN, rate=RATE))
    floor = BYTES / RATE / 2
    assert _seconds(guest, rig.host, GATEWAY) > floor
    assert _seconds(rig.host, guest, str(lease.address)) > floor
    # Another one is not.
    other, (its,) = rig.on("other", OVEN)
    assert _seconds(other, rig.host, GATEWAY) < floor
    assert _seconds(rig.host, other, str(its.address)) < floor


def _queues(rig: Rig) -> str:
    return rig.host.run("tc", "qdisc", "show")


def test_rate_is_changed_while_the_container_runs(rig: Rig) -> None:
    guest = rig.container()
    leases = rig.connect(guest, "guest", wish(OVEN, rate=RATE), wish(WEB))
    assert _queues(rig).count("rate 4194Kbit") == 2
    first, second = (lease.segment for lease in leases)
    changed = {first: 2 * RATE, second: RATE, "of the next start": RATE}
    rig.switch.change("guest", {key: wish(OVEN, rate=rate) for key, rate in changed.items()})
    assert _queues(rig).count("rate 8388Kbit") == 2
    assert _queues(rig).count("rate 4194Kbit") == 2
    rig.switch.change("guest", {first: wish(OVEN)})
    assert _queues(rig).count("tbf") == 2
    assert _queues(rig).count("ingress") == 1
    assert addresses.meter_of(leases[0].interface) not in cables()
    assert [lease.rate for lease in rig.leases()] == [None, RATE]
    floor = BYTES / RATE / 2
    assert _seconds(guest, rig.host, GATEWAY) < floor
    assert _seconds(guest, rig.host, "10.214.0.1") > floor
    rig.switch.detach("guest")
    rig.assert_clean()


@pytest.mark.parametrize(("before", "after"), [(None, RATE), (RATE, None)])
@pytest.mark.parametrize("step", ["configure", "perform", "remove", "_done"])
def test_killed_change_of_a_rate_leaves_a_guest_that_can_send(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, before: int | None, after: int | None, step: str
) -> None:
    rig.host.serve("host", 7003)
    guest = rig.container()
    (lease,) = rig.connect(guest, "guest", wish(OVEN, rate=before))
    apply = rates.apply

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def killed_after(leases: tuple[Lease, ...]) -> None:
        apply(leases)
        killed()

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        if step == "_done":
            patch.setattr(rates, "apply", killed_after)
        else:
            patch.setattr(link, step, killed)
        rig.switch.change("guest", {lease.segment: wish(OVEN, rate=after)})
    rig.on("other", OVEN)  # removes what no lease covers
    assert guest.ask("tcp", GATEWAY, 7003).startswith("host ")
    rig.switch.change("guest", {lease.segment: wish(OVEN, rate=after)})
    assert _queues(rig).count("tbf") == (2 if after else 0)
    assert _queues(rig).count("ingress") == (1 if after else 0)
    assert [one.rate for one in rig.leases()] == [after, None]


def test_guest_cannot_pretend_to_be_another_behind_its_meter(rig: Rig) -> None:
    """What waited there comes to the bridge by the same cable, and by the same rules."""
    rig.host.serve("host", 7003)
    _, (victims,) = rig.on("victim", OVEN)
    guest = rig.container()
    (own,) = rig.connect(guest, "guest", wish(OVEN, rate=RATE))
    guest.run("ip", "address", "add", f"{victims.address}/24", "dev", "eth0")
    asks = ("tcp", GATEWAY, 7003)
    assert guest.ask(*asks, timeout=0.5, source=str(victims.address)) == "TimeoutError"
    assert guest.ask(*asks, source=str(own.address)) == f"host {own.address}"


def test_host_that_cannot_limit_rates_refuses(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_queues", lambda one: [f"qdisc add dev {one.interface} root no"])
    with pytest.raises(HostError, match="`tc` cannot set up the network") as caught:
        rig.connect(rig.container(), "guest", wish(OVEN, rate=RATE))
    assert "sch_tbf" in str(caught.value.hint)
    rig.assert_clean()
    assert not list(Path("/sys/class/net").glob("oveni-*"))
