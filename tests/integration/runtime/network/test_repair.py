"""What is left when a container, a command or another firewall goes its own way, and its end."""

import os
import signal
from collections.abc import Callable
from functools import partial

import pytest

from builder.host.network import link
from builder.host.process import beside, daemon
from builder.model.errors import ConflictError, HostError
from tests.support.hosts.networks import FOREIGN, HOST, REFUSED, Rig, cables, ruleset
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:ss")


def test_container_that_was_killed_frees_address_port_and_cable(rig: Rig) -> None:
    keeper, _ = rig.attach("keeper", "8081:80")
    dead, lease = rig.attach("dead", "8080:80", address="10.213.0.79")
    dead.close()
    _, its = rig.attach("heir", "8080:80", address="10.213.0.79")
    assert its.address == lease.address
    assert {one.key for one in rig.leases()} == {"keeper", "heir"}
    assert lease.interface not in ruleset() + " ".join(link.interfaces())
    keeper.serve("keeper", 80)
    assert rig.outside.ask("tcp", HOST, 8081).startswith("keeper ")


def test_detach_is_idempotent_and_keeps_the_others(rig: Rig) -> None:
    keeper, _ = rig.attach("keeper", "8081:80")
    rig.attach("goner", "8080:80")
    for _ in range(2):
        rig.switch.detach("goner")
    keeper.serve("keeper", 80)
    assert rig.outside.ask("tcp", HOST, 8081).startswith("keeper ")
    assert rig.outside.ask("tcp", HOST, 8080) == REFUSED
    for _ in range(2):
        rig.switch.detach("keeper")
        rig.assert_clean()


def test_flushed_rules_come_back_with_the_next_container(rig: Rig) -> None:
    web, _ = rig.attach("web", "8080:80")
    web.serve("web", 80)
    link.apply_rules("flush ruleset\n" + FOREIGN)
    assert rig.outside.ask("tcp", HOST, 8080) == REFUSED
    rig.attach("other")
    assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")


def test_removed_bridge_comes_back_with_the_next_container(rig: Rig) -> None:
    web, _ = rig.attach("web", "8080:80")
    web.serve("web", 80)
    rig.host.run("ip", "link", "del", next(name for name in cables() if name.startswith("ovenb-")))
    other, _ = rig.attach("other")
    assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")
    assert other.ask("tcp", HOST, 8080).startswith("web ")


def test_parallel_containers_get_different_addresses(rig: Rig) -> None:
    made = [rig.container() for _ in range(8)]
    children = [
        _fork(partial(rig.join, made[n], f"c{n}", f"{9000 + n}:80")) for n in range(len(made))
    ]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    leases = rig.leases()
    assert len({lease.address for lease in leases}) == 8


def _fork(work: Callable[[], object]) -> int:
    """Do something in a process of its own, which ends with status 0 if it went well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def _killed_before(step: int, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do something and die by SIGKILL before its n-th program; tell whether it came that far."""
    left = step

    def dying(start: Callable[..., object]) -> Callable[..., object]:
        def one(*args: object, **options: object) -> object:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return start(*args, **options)

        return one

    with monkeypatch.context() as patch:
        patch.setattr(beside, "_spawn", dying(beside._spawn))
        for name in ("start", "stop", "reload"):
            patch.setattr(daemon, name, dying(getattr(daemon, name)))
        _, status = os.waitpid(_fork(work), 0)
    assert status in {0, signal.SIGKILL}
    return status != 0


@pytest.mark.parametrize("others", [0, 1])
def test_attach_killed_anywhere_is_repaired(
    rig: Rig, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if others:
        rig.attach("keeper")
    guest = rig.container()
    step = 0
    while _killed_before(step, lambda: rig.join(guest, "web", "8080:80"), monkeypatch):
        rig.join(guest, "web", "8080:80")
        assert guest.run("ip", "route").startswith("default via")
        answer = rig.outside.ask("tcp", HOST, 8080)
        assert answer == REFUSED, "by the guest: nothing listens there"
        rig.switch.detach("web")
        assert _killed_before(step, lambda: rig.join(guest, "web", "8080:80"), monkeypatch)
        rig.switch.detach("web")
        assert "8080" not in ruleset()
        assert len([name for name in cables() if name.startswith("oven-")]) == others
        if not others:
            rig.assert_clean()
        step += 1
    assert step >= 4


@pytest.mark.parametrize("others", [0, 1])
def test_detach_killed_anywhere_is_repaired(
    rig: Rig, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if others:
        rig.attach("keeper")
    step = 0
    killed = True
    while killed:
        guest, _ = rig.attach("web", "8080:80")
        killed = _killed_before(step, lambda: rig.switch.detach("web"), monkeypatch)
        guest.close()
        rig.switch.detach("another")
        assert "8080" not in ruleset()
        assert len([name for name in cables() if name.startswith("oven-")]) == others
        if not others:
            rig.assert_clean()
        step += 1
    assert step >= 3


def test_ended_container_is_told(rig: Rig) -> None:
    guest = rig.container()
    guest.close()
    with pytest.raises(ConflictError, match="container `web` has ended"):
        rig.join(guest, "web")
    rig.assert_clean()


def test_failing_attach_leaves_nothing(rig: Rig) -> None:
    guest = rig.container()
    guest.run("ip", "link", "add", "eth0", "type", "bridge")
    with pytest.raises(HostError, match="`ip` cannot set up the network: RTNETLINK answers: File"):
        rig.join(guest, "web")
    rig.assert_clean()


def test_a_removed_cable_is_laid_again(rig: Rig) -> None:
    web, lease = rig.attach("web", "8080:80")
    web.serve("web", 80)
    rig.host.run("ip", "link", "del", lease.interface)
    assert not rig.outside.ask("tcp", HOST, 8080).startswith("web ")
    rig.switch.settle()
    assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")
