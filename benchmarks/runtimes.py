"""The runtimes that Oven is compared with, each told to do the same with the same tree."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import FOLDER, OVEN, empty
from benchmarks.runner import Contender

NAME = f"bench-{os.getpid()}"
HOME = {"OVEN_HOME": str(FOLDER / "home")}

LIMITS = ("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096")
"""podman asks for more than a process without CAP_SYS_RESOURCE may have."""
WAIT = ("systemctl", "is-system-running", "--wait")
_LXC = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.rootfs.path = overlayfs:{rootfs}:{folder}/upper
lxc.uts.name = {name}
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.init.cmd = /sbin/init systemd.unified_cgroup_hierarchy=1
"""


@dataclass(frozen=True)
class Peers:
    """What each runtime is asked for, with one tree as the root."""

    rootfs: Path

    def runc(self) -> Contender:
        """Run `true` by the OCI runtime alone, with its own defaults; no layer of its own."""
        return Contender("runc", ("runc", "run", "-b", str(self._bundle("once", "true")), NAME))

    def runc_exec(self) -> Contender:
        """Run `true` in a container of the OCI runtime alone."""
        bundle = self._bundle("exec", "sleep", "1000000")
        quiet("runc", "run", "--detach", "-b", str(bundle), NAME)
        return Contender("runc exec", ("runc", "exec", NAME, "true"))

    def podman(self, *options: str) -> Contender:
        """Run `true` by podman, in a layer that is thrown away."""
        argv = (*_podman(), "run", "--rm", *options, *LIMITS, "--rootfs", f"{self.rootfs}:O")
        return Contender("podman", (*argv, "true"))

    def podman_create(self) -> Contender:
        """Make a container of podman, not started."""
        argv = (*_podman(), "create", "--name", NAME, *LIMITS, "--rootfs", f"{self.rootfs}:O")
        return Contender("podman create", (*argv, "true"), after=_remove_podman)

    def podman_exec(self) -> Contender:
        """Run `true` in a container of podman."""
        run = ("run", "--detach", "--name", NAME, "--network", "none", *LIMITS)
        quiet(*_podman(), *run, "--rootfs", f"{self.rootfs}:O", "sleep", "1000000")
        return Contender("podman exec", (*_podman(), "exec", NAME, "true"))

    def lxc(self) -> Contender:
        """Run `true` by LXC; as root outside, since its owners would have to be changed."""
        config = self._lxc(NAME)
        argv = ("lxc-execute", "-P", str(config.parent.parent), "-n", NAME, "--", "/bin/true")
        return Contender("LXC", argv)

    def lxc_exec(self) -> Contender:
        """Run `true` in a container of LXC that has booted."""
        folder = str(self._lxc(NAME).parent.parent)
        quiet("lxc-start", "-P", folder, "-n", NAME)
        return Contender("lxc-attach", ("lxc-attach", "-P", folder, "-n", NAME, "--", "/bin/true"))

    def lxc_boot(self) -> Contender:
        """Boot by LXC, and wait until systemd has nothing left to start."""
        folder = str(self._lxc(NAME).parent.parent)
        script = f"lxc-start -P {folder} -n {NAME} && {until_ready(folder, NAME)}"
        return Contender("LXC", ("sh", "-c", script), after=_stop_lxc)

    def nspawn(self) -> Contender:
        """Run `true` by systemd-nspawn, in a layer that is thrown away."""
        return Contender("systemd-nspawn", (*self._nspawn(), "/bin/true"))

    def nspawn_boot(self) -> Callable[[], float]:
        """Boot by systemd-nspawn until systemd says that it is ready; gives how long it took."""
        argv = (*self._nspawn(), "--notify-ready=yes", "--boot")
        return lambda: _until_notified(argv)

    def oven(self, *options: str) -> Contender:
        """Run `true` by Oven, in a layer that is thrown away."""
        return Contender("oven", (OVEN, "run", *options, "debian-bookworm", "--", "true"), HOME)

    def oven_exec(self) -> Contender:
        """Run `true` in a container of Oven that has booted."""
        quiet(OVEN, "run", "debian-bookworm", "--name", NAME, "--network", "none", env=HOME)
        return Contender("oven exec", (OVEN, "exec", NAME, "--", "true"), HOME)

    def oven_boot(self) -> Contender:
        """Boot by Oven, which waits until systemd says that it is ready."""
        argv = (OVEN, "run", "debian-bookworm", "--name", NAME, "--network", "none")
        return Contender("oven", argv, HOME, after=_destroy)

    def lxc_for(self, name: str) -> Path:
        """Prepare a container of LXC; give the folder that `-P` wants."""
        return self._lxc(name).parent.parent

    def _bundle(self, name: str, *argv: str) -> Path:
        folder = empty(f"bundle-{name}")
        subprocess.run(["runc", "spec"], cwd=folder, check=True)
        file = folder / "config.json"
        config = json.loads(file.read_text())
        config["process"].update(terminal=False, args=list(argv))
        config["root"] = {"path": str(self.rootfs), "readonly": True}
        file.write_text(json.dumps(config))
        return folder

    def _lxc(self, name: str) -> Path:
        folder = FOLDER / "lxc" / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "upper").mkdir(parents=True)
        config = folder / "config"
        config.write_text(_LXC.format(rootfs=self.rootfs, folder=folder, name=name))
        return config

    def _nspawn(self) -> tuple[str, ...]:
        apart = ("--private-network", "--register=no", "--keep-unit", "--volatile=overlay")
        return ("systemd-nspawn", "--quiet", "--directory", str(self.rootfs), *apart)


def until_ready(folder: str, name: str) -> str:
    """Write a script that waits for a container of LXC; at first its systemd does not answer."""
    ask = f"lxc-attach -P {folder} -n {name} -- {' '.join(WAIT)}"
    return f"until {ask} >/dev/null 2>&1; do sleep 0.01; done"


def clear() -> None:
    """Remove every container that a benchmark has made, whoever runs it."""
    _destroy()
    _remove_podman()
    _stop_lxc()
    quiet("runc", "delete", "--force", NAME, fails=True)


def quiet(*argv: str, env: dict[str, str] | None = None, fails: bool = False) -> str:
    """Run a command that only prepares; gives what it said."""
    # A file and no pipe, which what goes on in the background would keep open.
    with tempfile.TemporaryFile("w+") as said:
        code = subprocess.call(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said if not fails else subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        said.seek(0)
        text = said.read()
    if code != 0 and not fails:
        raise RuntimeError(f"{' '.join(argv)}: {text.strip()}")
    return text


def _podman() -> tuple[str, ...]:
    root, run = FOLDER / "podman", FOLDER / "podman-run"
    return ("podman", "--root", str(root), "--runroot", str(run), "--runtime", "runc")


def _destroy() -> None:
    quiet(OVEN, "destroy", "--force", NAME, env=HOME, fails=True)


def _remove_podman() -> None:
    if shutil.which("podman"):
        quiet(*_podman(), "rm", "--force", "--time", "0", NAME, fails=True)


def _stop_lxc() -> None:
    folder = FOLDER / "lxc"
    for one in sorted(folder.glob("*")):
        quiet("lxc-stop", "--kill", "-P", str(folder), "-n", one.name, fails=True)


def _until_notified(argv: tuple[str, ...]) -> float:
    """Start a program that tells of its readiness by a socket (sd_notify(3)), and end it."""
    path = FOLDER / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(60)
        started = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(path)},
        )
        try:
            while b"READY=1" not in told.recv(4096):
                pass
            return time.perf_counter() - started
        finally:
            process.terminate()
            process.wait()
