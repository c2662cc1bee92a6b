"""Guests with other inits and versions: each boots, reboots, and goes down in its own way."""

import hashlib
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.builds.projects import project
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:conmon", "program:runc")

SYSV = """\
[template]
name = "{name}"
summary = "Debian 12 with another init"

[base]
distro = "debian"
suite = "bookworm"

[packages]
install = {packages}

[[script]]
path = "consoles"
"""

PATIENCE = 60.0


def until_pid_changes(oven: Oven, name: str, before: object) -> None:
    """Wait until the container has been started anew by what follows its end."""
    deadline = time.monotonic() + PATIENCE
    while (facts := shown(oven, name))["pid"] in {None, before} or facts["status"] != "running":
        assert time.monotonic() < deadline, facts
        time.sleep(0.1)


def until_stopped(oven: Oven, name: str) -> dict[str, object]:
    deadline = time.monotonic() + PATIENCE
    while (facts := shown(oven, name))["status"] != "stopped":
        assert time.monotonic() < deadline, facts
        time.sleep(0.1)
    return facts


def shown(oven: Oven, name: str) -> dict[str, object]:
    value = oven.json("show", name)
    assert isinstance(value, dict)
    return value


def of_systemd(oven: Oven, name: str, template: str) -> int:
    """Take a guest through its life; give the version of its systemd."""
    before = Traces.of(oven.home)
    oven("run", template, "--name", name, "--network", "none")
    state = oven("exec", name, "--", "systemctl", "is-system-running", "--wait")
    assert text(state.stdout) == "running\n"
    told = text(oven("exec", name, "--", "systemctl", "--version").stdout)
    version = re.match(r"systemd (\d+)", told)
    assert version
    pid = shown(oven, name)["pid"]
    oven("exec", name, "--", "systemctl", "reboot")
    until_pid_changes(oven, name, pid)
    assert text(oven("exec", name, "--", "cat", "/proc/1/comm").stdout) == "systemd\n"
    oven("exec", name, "--", "systemctl", "poweroff")
    assert until_stopped(oven, name)["exit-code"] == 130
    assert left_over(oven.home, before) == {}
    oven("destroy", name)
    return int(version[1])


def test_systemd_252(oven: Oven, built: Built, fresh_name: str) -> None:
    built("debian-bookworm")
    assert of_systemd(oven, fresh_name, "debian-bookworm") == 252


@pytest.mark.slow
def test_systemd_257(oven: Oven, built: Built, fresh_name: str) -> None:
    built("debian-trixie")
    assert of_systemd(oven, fresh_name, "debian-trixie") >= 257


@pytest.mark.slow
@pytest.mark.needs("program:mmdebstrap")
def test_the_newest_systemd(oven: Oven, fresh_name: str, tmp_path: Path) -> None:
    """The archive's index of sid may be old, which Oven would refuse; hence a tarball."""
    recipe = project(tmp_path, "", name="sid")
    tarball = tmp_path / "recipes/sid/sid.tar"
    tarball.parent.mkdir()
    subprocess.run(
        [
            "mmdebstrap", "--variant=minbase", "--include=systemd-sysv,dbus", "sid", tarball,
            "--aptopt=Acquire::Check-Valid-Until false",
        ],
        check=True,
    )  # fmt: skip
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    recipe.write_text(
        'from = "tarball"\n[template]\nname = "sid"\nsummary = "Debian sid"\n'
        f'[tarball.amd64]\npath = "sid.tar"\nsha256 = "{digest}"\n'
    )
    oven("build", "--no-probe", recipe)
    assert of_systemd(oven, fresh_name, "sid") >= 258


GETTY = """\
sed -i '/^[1-6]:/d' /etc/inittab
echo 'co:2345:respawn:/sbin/getty 115200,38400 console linux' >>/etc/inittab
"""
BUSYBOX = """\
ln -sf /bin/busybox /sbin/init
mkdir -p /etc/init.d
printf '%s\\n' '::sysinit:/etc/begin' '::respawn:/bin/sleep 1000' \
    '::shutdown:/bin/sh -c "echo down it goes"' >/etc/inittab
printf '#!/bin/sh\\nsleep 1\\ntouch /begun\\n' >/etc/begin
chmod +x /etc/begin
"""
S6 = """\
rm -f /sbin/init
mkdir -p /etc/scan/one
printf '#!/bin/sh\\nexec s6-svscan /etc/scan\\n' >/sbin/init
printf '#!/bin/sh\\nexec sleep 1000\\n' >/etc/scan/one/run
chmod +x /sbin/init /etc/scan/one/run
"""
INITS = {
    "sysvinit": (["sysvinit-core"], GETTY, "runlevel | grep 2"),
    "openrc-scripts": (["sysvinit-core", "openrc"], GETTY, "runlevel | grep 2"),
    "openrc": (["openrc"], "ln -sf openrc-init /sbin/init\n", "grep default /run/openrc/softlevel"),
    "runit": (["runit-init"], "", "ps ax | grep [r]unsvdir"),
    "busybox": (["busybox"], BUSYBOX, "test -e /begun"),
    "finit": (["finit-sysv"], "", "ls -d /run/finit"),
    "other": (["s6"], S6, "ps ax | grep [s]6-supervise"),
}
"""Packages, what else has to be done, and what is true inside once it is up."""


def build(oven: Oven, folder: Path, kind: str) -> None:
    packages, script, _ = INITS[kind]
    packages = ["iproute2", "procps", *packages]
    recipe = project(folder, SYSV.format(name=kind, packages=packages).replace("'", '"'))
    consoles = folder / "recipes/tiny/consoles"
    consoles.parent.mkdir()
    consoles.write_text(f"#!/bin/sh\nset -e\n{script}")
    consoles.chmod(0o755)
    said = oven.said("build", recipe)
    assert f"probe {kind}: up" in said  # with the init that is there


FIRST = ("openrc", "busybox", "runit")
"""What a plain run tries, beside the test after this one."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in FIRST else pytest.mark.slow) for kind in INITS],
)
def test_another_init(oven: Oven, built: Built, fresh_name: str, tmp_path: Path, kind: str) -> None:
    """It counts as up when it is, and ends by itself when it is asked to."""
    built("debian-bookworm")
    build(oven, tmp_path, kind)
    before = Traces.of(oven.home)
    oven("run", kind, "--name", fresh_name, "--network", "none")
    oven("exec", fresh_name, "--", "sh", "-c", INITS[kind][2])
    told = shown(oven, fresh_name)["init"]
    assert told == ("sysvinit" if kind == "openrc-scripts" else kind)
    oven("stop", fresh_name, "--time", "60")
    lines = text(oven("events", fresh_name, "--json").stdout).splitlines()
    assert '"killed":true' not in lines[-1].replace(" ", ""), text(oven("logs", fresh_name).stdout)
    assert left_over(oven.home, before) == {}
    oven("destroy", fresh_name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sysvinit", "openrc-scripts"])
def test_sysvinit(oven: Oven, built: Built, fresh_name: str, tmp_path: Path, kind: str) -> None:
    """Reboots, and ends when it is told so from inside."""
    built("debian-bookworm")
    build(oven, tmp_path, kind)
    before = Traces.of(oven.home)
    oven("run", kind, "--name", fresh_name, "--network", "none")
    assert text(oven("exec", fresh_name, "--", "cat", "/proc/1/comm").stdout) == "init\n"
    pid = shown(oven, fresh_name)["pid"]
    oven("exec", fresh_name, "--", "reboot")
    until_pid_changes(oven, fresh_name, pid)
    wait_for_runlevel(oven, fresh_name)
    oven("exec", fresh_name, "--", "poweroff")
    assert until_stopped(oven, fresh_name)["exit-code"] == 130
    assert left_over(oven.home, before) == {}
    oven("destroy", fresh_name)


def wait_for_runlevel(oven: Oven, name: str) -> None:
    """Wait until the boot scripts are done."""
    deadline = time.monotonic() + PATIENCE
    while b"2" not in oven("exec", name, "--", "sh", "-c", "runlevel || true").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)
