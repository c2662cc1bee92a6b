"""Virtualization servers for autopkgtest, which test packages with the same tree and network."""

import ipaddress
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import FOLDER, OVEN
from benchmarks.runtimes import HOME, quiet

NAME = f"bench-testbed-{os.getpid()}"
"""LXC copies only from a folder whose name contains the container's."""
HOLDER = f"{NAME}-network"
"""A container that keeps the network up, on which LXC's containers are too."""
TEMPLATE = "tested"
RECIPE = """\
from = "debian-bookworm"

[template]
name = "tested"
summary = "Debian 12 in which packages are tested"

[packages]
# The last has LXC's containers know their names, which are others each time.
install = ["build-essential", "dpkg-dev", "fakeroot", "libnss-myhostname"]

[[user]]
name = "tester"
"""
SOURCES = "sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/*.sources"
CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.rootfs.path = dir:{rootfs}
lxc.uts.name = {name}
lxc.net.0.type = veth
lxc.net.0.link = {bridge}
lxc.net.0.flags = up
lxc.net.0.ipv4.address = {address}
lxc.net.0.ipv4.gateway = {gateway}
lxc.apparmor.profile = unconfined
lxc.init.cmd = /sbin/init systemd.unified_cgroup_hierarchy=1
"""
STOP = """\
#!/bin/sh
/usr/bin/lxc-stop "$@"
code=$?
for name; do :; done
turn=0
while [ -e "/var/lib/lxc/$name" ] && [ "$turn" -lt 1000 ]; do
    sleep 0.01
    turn=$((turn + 1))
done
exit "$code"
"""
"""LXC removes a copy in the background; `lxc-ls` and `lxc-copy` stumble on it."""
ENV = {**HOME, "PATH": f"{FOLDER / 'bin'}:{os.environ['PATH']}"}
"""Of both servers."""
LXC = Path("/var/lib/lxc")
"""autopkgtest-virt-lxc knows no other folder."""
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Server:
    """One of them."""

    name: str
    argv: tuple[str, ...]

    def revert(self, repetitions: int) -> float:
        """Give the median of seconds in which a testbed is back at its beginning, and ready."""
        process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENV},
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        taken = []
        _answer(process.stdout.readline())
        for verb in ("open", *("revert",) * repetitions, "close", "quit"):
            started = time.perf_counter()
            process.stdin.write(f"{verb}\n")
            process.stdin.flush()
            if verb == "quit":
                break
            _answer(process.stdout.readline())
            if verb == "revert":
                taken.append(time.perf_counter() - started)
        process.wait()
        return statistics.median(taken)


@contextmanager
def servers() -> Iterator[tuple[Server, Server]]:
    """Give the server of Oven and that of LXC, and leave neither's containers."""
    recipe = FOLDER / "recipes" / f"{TEMPLATE}.toml"
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(RECIPE)
    quiet(OVEN, "build", "--no-probe", str(recipe), env=HOME)
    try:
        quiet(OVEN, "run", TEMPLATE, "--name", HOLDER, env=HOME)
        inside(SOURCES)
        _prepare_lxc()
        ours = (str(CHECKOUT / "contrib/autopkgtest-virt-oven"), f"--oven={OVEN}", TEMPLATE)
        theirs = ("autopkgtest-virt-lxc", "--ephemeral", NAME)
        yield Server("oven", ours), Server("lxc", theirs)
    finally:
        quiet(OVEN, "destroy", "--force", HOLDER, env=HOME, fails=True)
        shutil.rmtree(LXC / NAME, ignore_errors=True)
        shutil.rmtree(_rootfs(), ignore_errors=True)


def inside(script: str, *words: str) -> None:
    """Run a script in a container that has the tree, and is no testbed."""
    quiet(OVEN, "exec", HOLDER, "--", "sh", "-c", script, "sh", *words, env=HOME)


def _prepare_lxc() -> None:
    """Write a container of LXC with a copy of the template's tree, on the holder's network."""
    shown = json.loads(quiet(OVEN, "show", "--json", HOLDER, env=HOME))
    template = json.loads(quiet(OVEN, "template", "show", "--json", TEMPLATE, env=HOME))
    route = json.loads(quiet("ip", "-json", "route", "get", shown["address"]))[0]
    network = ipaddress.ip_network(f"{route['prefsrc']}/24", strict=False)
    rootfs = _rootfs()
    stop = FOLDER / "bin/lxc-stop"
    stop.parent.mkdir(exist_ok=True)
    stop.write_text(STOP)
    stop.chmod(0o755)
    quiet("mkdir", "-p", str(rootfs.parent), str(LXC / NAME))
    quiet("cp", "-a", str(Path(template["folder"], "rootfs")), str(rootfs))
    # What Oven writes for its containers, and lxc-create for those of LXC.
    (rootfs / "etc/resolv.conf").unlink(missing_ok=True)
    (rootfs / "etc/resolv.conf").write_text(f"nameserver {route['prefsrc']}\n")
    (rootfs / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (LXC / NAME / "config").write_text(
        CONFIG.format(
            rootfs=rootfs,
            name=NAME,
            bridge=route["dev"],
            address=f"{network.broadcast_address - 1}/24",
            gateway=route["prefsrc"],
        )
    )


def _rootfs() -> Path:
    return FOLDER / "lxc" / NAME


def _answer(line: str) -> None:
    if not line.startswith("ok"):
        sys.exit(f"the virtualization server says: {line.strip() or 'nothing'}")
