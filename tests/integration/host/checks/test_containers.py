"""`oven doctor` on what some containers need, and those of ordinary users."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from builder.doctor import examine
from builder.host import programs
from builder.host.checks import containers
from builder.host.places import Places
from builder.runtime.bundle import oci_runtime
from tests.support.hosts.ordinary_user import ENOUGH, account
from tests.support.needs import needs

AS_USER = """
import os, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
from pathlib import Path
from builder.host.checks import containers
check = containers.disk_of_user(Path(sys.argv[2]))
print(check.state, check.found)
"""


@needs("root", "userns")
def test_an_overlay_of_an_ordinary_user_is_tried(venv: Path) -> None:
    ids = {"uids": (ENOUGH,), "gids": (ENOUGH,)}
    with account("oven-doctor", **ids) as user, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name in ("lower", "upper", "work", "home"):
            Path(folder, name).mkdir()
        home = f"{folder}/home"
        os.chown(home, user.uid, user.uid)
        assert _as(venv, user.uid, home).startswith("ok overlays of ordinary users work in ")
        assert list(Path(home).iterdir()) == []
        # An overlay cannot lie on another one (overlayfs.rst, "Upper and Lower").
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "none", home], check=True)
        try:
            os.chown(home, user.uid, user.uid)
            assert _as(venv, user.uid, home).startswith("fail an overlay cannot be mounted")
        finally:
            subprocess.run(["umount", home], check=True)


def _as(venv: Path, uid: int, home: str) -> str:
    argv = [str(venv / "bin/python"), "-c", AS_USER, str(uid), home]
    return subprocess.run(argv, check=True, capture_output=True, text=True, cwd="/").stdout


def test_network_of_a_user_needs_the_program_and_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_programs(tmp_path, monkeypatch)
    assert containers.network_of_user().fix == "apt-get install passt"
    only_programs(tmp_path, monkeypatch, "pasta")
    assert containers.network_of_user(tmp_path / "tun").fix == "as root: modprobe tun"
    (tmp_path / "tun").touch()
    assert containers.network_of_user(tmp_path / "tun").state == "ok"


@pytest.mark.parametrize(
    ("there", "state", "fix"),
    [
        (("mkfs.ext4", "mkfs.btrfs"), "ok", ""),
        (("mkfs.btrfs",), "warn", "apt-get install e2fsprogs"),
        ((), "warn", "apt-get install e2fsprogs"),
    ],
)
def test_makers_of_disks_are_looked_for(
    there: tuple[str, ...],
    state: str,
    fix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_programs(tmp_path, monkeypatch, *there)
    check = containers.limited_disks(tmp_path)
    assert (check.state, check.fix) == (state, fix)


def test_disks_need_loop_devices(tmp_path: Path) -> None:
    assert containers.limited_disks(tmp_path / "loop-control").fix == "modprobe loop"


def test_pressure_that_the_kernel_does_not_tell(tmp_path: Path) -> None:
    assert containers.pressure(tmp_path).state == "warn"
    (tmp_path / "cpu").touch()
    assert containers.pressure(tmp_path).state == "ok"


def test_an_old_crun_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_programs(tmp_path, monkeypatch, "crun")
    crun = tmp_path / "bin/crun"
    places = Places(data=tmp_path, cache=tmp_path, runtime=tmp_path / "run", settings=())
    for version, state in (("1.8.1", "warn"), ("1.25.1", "ok")):
        crun.write_text(f"#!/bin/sh\necho crun version {version}\n")
        check = containers.runtime(crun, too_old=oci_runtime.is_too_old(places, crun))
        assert (check.state, f"crun version {version}" in check.found) == (state, True)


def test_paths_are_resolved_by_the_kernel() -> None:
    assert containers.safe_paths().state == "ok"


@needs("root", "program:bwrap")
def test_root_is_told_of_all_of_it(tmp_path: Path) -> None:
    places = Places(data=tmp_path, cache=tmp_path, runtime=tmp_path / "run", settings=())
    names = [check.name for check in examine(places)]
    assert {"openat2", "pressure", "limited disks", "OCI runtime"} <= set(names)
    assert len(names) == len(set(names))


def only_programs(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let only these programs be found."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    for name in names:
        (bin_ / name).write_text("#!/bin/sh\n")
        (bin_ / name).chmod(0o755)
    monkeypatch.setitem(programs.CLEAN_ENVIRONMENT, "PATH", str(bin_))
