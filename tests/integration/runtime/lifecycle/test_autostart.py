"""Starting with the host: the order, and the unit as systemd reads it."""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from builder.host import programs, units
from builder.host.places import Places
from builder.host.units import Systemd
from builder.model.errors import StageError
from builder.model.progress import Silent
from builder.runtime.lifecycle import autostart, control, create
from builder.runtime.network import pasta
from builder.runtime.record.container import Autostart
from tests.support.containers.rig import Rig
from tests.support.needs import needs

pytestmark = needs("root")


def make(rig: Rig, name: str, order: int | None) -> None:
    when = None if order is None else Autostart(order=order)
    create.create(rig.places, msgspec.structs.replace(rig.container(name), autostart=when))


def test_groups_come_in_order(rig: Rig) -> None:
    for name, order in (("last", 9), ("early", -1), ("b", 0), ("a", 0), ("never", None)):
        make(rig, name, order)
    found = [[one.name for one in group] for group in autostart.groups(rig.places)]
    assert found == [["early"], ["a", "b"], ["last"]]


@pytest.mark.needs("program:runc", "program:conmon")
def test_stopping_goes_the_other_way(rig: Rig) -> None:
    for name, order in (("one", 1), ("two", 2), ("other", None), ("rests", 3)):
        make(rig, name, order)
    for name in ("one", "two", "other"):
        control.start(rig.places, name, Silent())
    assert autostart.stop_groups(rig.places) == [["two"], ["one"], ["other"]]


def written(folder: Path, *, runs: bool) -> Systemd:
    """Give a systemd that is only written for, since no test may ask that of the host."""
    return Systemd(folder, folder if runs else folder / "none", folder)


@pytest.mark.needs("program:systemd-analyze")
@pytest.mark.parametrize("manager", ["--system", "--user"])
def test_systemd_understands_the_unit(tmp_path: Path, manager: str) -> None:
    home = tmp_path / "100% of 'it' for $5"
    user = 1005 if manager == "--user" else 0
    places = Places(home, home / "cache", home / "run", (), user=user)
    path = tmp_path / f"{units.name_of(places, 'oven')}.service"
    assert path.stem != "oven", "another home may have that"
    path.write_text(autostart.unit(places).text())
    argv = ["systemd-analyze", manager, "verify", "--man=no", str(path)]
    runtime = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(argv, capture_output=True, text=True, env=runtime)
    assert (done.returncode, done.stderr) == (0, "")
    shown = path.read_text()
    assert f'Environment="OVEN_HOME={home}"\n'.replace("%", "%%") in shown
    assert " start --autostart\n" in shown
    assert ("network-online.target" in shown) == (manager == "--system")


def test_a_host_without_systemd_is_told_what_to_call(rig: Rig, tmp_path: Path) -> None:
    none = written(tmp_path, runs=False)
    assert autostart.settle(rig.places, none) is None, "nothing is wanted"
    make(rig, "one", 0)
    said = autostart.settle(rig.places, none)
    assert said is not None
    assert "start --autostart" in said
    users = msgspec.structs.replace(rig.places, user=1005)
    said = autostart.settle(users, none)
    assert said is not None
    assert f"@reboot OVEN_HOME={rig.places.data} " in said
    assert list(tmp_path.glob("*.service")) == []


def test_what_systemd_refuses_is_tried_again(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(rig, "one", 0)
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text('#!/bin/sh\necho "$@" >>"$0.calls"; [ ! -e "$0.fails" ]\n')
    systemctl.chmod(0o755)
    (tmp_path / "bin/systemctl.fails").touch()
    monkeypatch.setitem(programs.CLEAN_ENVIRONMENT, "PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    ours = written(tmp_path / "units", runs=False)
    ours = msgspec.structs.replace(ours, sign=tmp_path)
    for _ in range(2):
        with pytest.raises(StageError):
            autostart.settle(rig.places, ours)
        assert list(ours.folder.iterdir()) == []
    (tmp_path / "bin/systemctl.fails").unlink()
    path = ours.folder / f"oven-{rig.places.mark}.service"
    assert autostart.settle(rig.places, ours) == f"wrote and enabled `{path}`"
    assert autostart.settle(rig.places, ours) is None
    control.destroy(rig.places, "one")
    assert autostart.settle(rig.places, ours) is None
    assert not path.exists()
    calls = (tmp_path / "bin/systemctl.calls").read_text().splitlines()
    assert calls[-4:] == [
        "daemon-reload", f"enable {path}", f"disable {path.name}", "daemon-reload"
    ]  # fmt: skip


ROUTES = {
    "IPv4": ("route", "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"),
    "IPv6": ("ipv6_route", f"{'0' * 32} 00 {'0' * 32} 00 fd{'0' * 29}1 400 2 0 3 eth0\n"),
}


@pytest.mark.parametrize("version", list(ROUTES))
def test_a_start_with_the_host_waits_for_a_way_out(tmp_path: Path, version: str) -> None:
    (tmp_path / "route").write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    (tmp_path / "ipv6_route").write_text(f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} f 1 0 200 lo\n")
    assert not pasta.await_network(0.1, tmp_path)
    file, line = ROUTES[version]
    with (tmp_path / file).open("a") as table:
        table.write(line)
    assert pasta.await_network(60, tmp_path)
