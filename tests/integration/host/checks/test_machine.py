"""`oven doctor` on machines that lack something: what it says, and that its advice mends it."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.checks import machine, weakened
from builder.host.checks.machine import Check
from builder.host.network import link
from builder.model.network import NetworkState
from builder.runtime.network import firewall
from tests.support.hosts.netns import Namespace, world
from tests.support.needs import needs
from tests.support.oven import CHECKOUT

DOCTOR = (sys.executable, "-m", "builder", "doctor")
ALL_CAPABILITIES = "CapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n"
MOST_CAPABILITIES = "CapPrm:\t000001ffffffffff\nCapEff:\t000001fffeffffff\n"


def _doctor(home: Path, *words: str, prepare: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run `oven doctor` among mounts of its own that were prepared by shell commands."""
    script = "\n".join(("set -e", *prepare, f"exec {shlex.join(words)}"))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "OVEN_HOME": str(home)},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def _examine(
    home: Path, *prepare: str, doctor: tuple[str, ...] = DOCTOR
) -> tuple[int, dict[str, Check]]:
    code, text = _doctor(home, *doctor, "--json", prepare=prepare)
    return code, {row["name"]: Check(**row) for row in json.loads(text)}


@needs("root", "program:bwrap", "program:nft")
def test_every_check_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    before = link.interfaces()
    code, checks = _examine(tmp_path / "home")
    fails = {check.name for check in checks.values() if check.state == "fail"}
    assert code == (3 if fails else 0)
    assert {"kernel", "bwrap", "OCI runtime", "cgroups", "nftables", "name servers"} < set(checks)
    for trial in ("build sandbox", "container disk", "nftables"):
        assert checks[trial].state == "ok", checks[trial]
    assert all(check.fix for check in checks.values() if check.state != "ok")
    # The runtime's version is remembered in the home; the trials leave nothing.
    assert not list(tmp_path.rglob(".oven-doctor-*"))
    assert link.interfaces() == before


@needs("root", "program:nft", "program:bwrap")
def test_missing_programs_are_named_with_their_packages(tmp_path: Path) -> None:
    code, checks = _examine(tmp_path / "home", *_hide(tmp_path))
    assert code == 3
    for name, package in (("nft", "nftables"), ("bwrap", "bubblewrap")):
        assert checks[name].state == "fail"
        assert checks[name].found == f"the program `{name}` is not installed"
        assert checks[name].fix == f"apt-get install {package}"
    assert checks["build sandbox"].fix == "apt-get install bubblewrap"
    assert "nftables" not in checks, "one reason is told once"
    assert checks["ip"].state == "ok"


@needs("root", "program:nft", "program:bwrap")
def test_people_read_what_to_do_about_it(tmp_path: Path) -> None:
    code, text = _doctor(tmp_path / "home", *DOCTOR, prepare=_hide(tmp_path))
    assert code == 3
    line = "fail  nft                 the program `nft` is not installed\n"
    assert f"{line}{'':26}mend: apt-get install nftables\n" in text
    assert "\nok    ip  " in text


def _hide(tmp_path: Path) -> tuple[str, ...]:
    """Give the commands that take `nft` and `bwrap` out of sight."""
    hide = []
    for folder in ("/usr/bin", "/usr/sbin"):
        layers = [tmp_path / f"{kind}-{Path(folder).name}" for kind in ("upper", "work")]
        for layer in layers:
            layer.mkdir()
        options = f"lowerdir={folder},upperdir={layers[0]},workdir={layers[1]}"
        hide.append(f"mount -t overlay -o {options} none {folder}")
        hide.append(f"rm -f {folder}/nft {folder}/bwrap")
    return tuple(hide)


@needs("root", "userns", "program:setpriv")
def test_ordinary_user_without_subordinate_ids_is_told_how_to_get_some(venv: Path) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    oven = str(venv / "bin/oven")
    # Not in a folder of pytest's, which only root may enter.
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 65534, 65534)
        _check_as_nobody(Path(home), (*nobody, oven, "doctor"))


def _check_as_nobody(home: Path, doctor: tuple[str, ...]) -> None:
    code, checks = _examine(home, "mount --bind /dev/null /etc/subuid", doctor=doctor)
    assert code == 3
    assert checks["build sandbox"].state == "fail"
    assert checks["build sandbox"].fix.startswith("as root: usermod --add-subuids ")
    assert checks["container disk"].fix == checks["build sandbox"].fix
    assert checks["user's cgroup"].state == "warn"
    assert "nft" not in checks


@needs("root")
def test_disk_that_cannot_hold_containers_is_found(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    # ramfs knows no idmapped mounts (mount_setattr(2) lists those that do).
    subprocess.run(["mount", "-t", "ramfs", "none", str(data)], check=True)
    try:
        check = machine.container_disk(data)
        assert check.state == "fail"
        assert "cannot shift the owners of files" in check.found
        assert "ext4" in check.fix
        assert not list(data.iterdir())
    finally:
        subprocess.run(["umount", str(data)], check=True)


@needs("root")
def test_full_disk_is_found(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], check=True)
    try:
        check = machine.room("room", tmp_path / "not/made/yet")
        assert (check.state, check.found) == (
            "fail",
            f"0.0 GiB free for `{tmp_path}/not/made/yet`",
        )
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.fixture
def a_world() -> Iterator[tuple[Namespace, Namespace]]:
    with world() as both:
        yield both


@needs("root", "program:ip", "program:nft")
def test_kernel_is_asked_about_rules_and_keeps_none(
    a_world: tuple[Namespace, Namespace],
) -> None:
    rules = firewall.ruleset(NetworkState(), firewall.FirewallHost())
    assert machine.firewall(rules).state == "ok"
    assert a_world[0].run("nft", "list", "ruleset") == ""
    check = machine.firewall("add chain inet oven c { type nat hook nowhere priority 0; }")
    assert check.state == "fail"
    assert check.found.startswith("`nft` cannot set up the network: ")


@needs("root", "program:ip", "program:nft")
def test_firewall_of_others_is_found_and_the_advice_mends_it(
    a_world: tuple[Namespace, Namespace],
) -> None:
    host, _ = a_world
    assert machine.forwarding().state == "ok"
    chain = "type filter hook forward priority 0; policy drop;"
    link.apply_rules(f"table ip filter {{\nchain FORWARD {{\n{chain}\n}}\n}}\n")
    check = machine.forwarding()
    assert check.state == "warn"
    assert "`ip filter FORWARD`" in check.found
    host.run("sh", "-c", check.fix)
    assert machine.forwarding().state == "ok"


def test_missing_name_server_is_told_with_its_package() -> None:
    assert machine.name_server(Path("/usr/sbin/dnsmasq")).state == "ok"
    check = machine.name_server(None)
    assert (check.state, check.fix) == ("warn", "apt-get install dnsmasq-base")


@pytest.mark.parametrize(
    ("status", "state"), [(ALL_CAPABILITIES, "ok"), (MOST_CAPABILITIES, "warn")]
)
def test_missing_capability_is_seen(tmp_path: Path, status: str, state: str) -> None:
    (tmp_path / "status").write_text(status)
    assert machine.open_files(tmp_path / "status").state == state


def test_settings_that_weaken_a_promise_are_named(tmp_path: Path) -> None:
    assert weakened.settings(tmp_path).state == "ok"
    for name, value in (
        ("fs/protected_symlinks", "0"),
        ("fs/protected_hardlinks", "1"),
        ("net/bridge/bridge-nf-call-iptables", "1"),
        ("net/bridge/bridge-nf-call-ip6tables", "1"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    check = weakened.settings(tmp_path)
    assert check.state == "warn"
    assert check.fix == (
        "sysctl -w fs.protected_symlinks=1 net.bridge.bridge-nf-call-iptables=0"
        " net.bridge.bridge-nf-call-ip6tables=0"
    )
    assert check.found.count("frames between containers") == 1


def test_settings_that_forbid_namespaces_are_named(tmp_path: Path) -> None:
    assert machine.user_namespaces(tmp_path).state == "ok"
    (tmp_path / "user").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("0\n")
    check = machine.user_namespaces(tmp_path)
    assert (check.state, check.fix) == ("fail", "sysctl -w user.max_user_namespaces=65536")
