"""Looking this machine over: whether it has what Oven needs, and what mends it if not.

Where it can, a check does what Oven does later, in a process of its own, instead of guessing from
versions and settings. Nothing is changed.
"""

import contextlib
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from builder.host.kernel import cgroups, hierarchies, mounts
from builder.host.kernel.namespaces import IDS, current, enter_namespace
from builder.host.network import link
from builder.host.network.firewalls import barriers
from builder.host.overlayfs.fold import overlay
from builder.host.overlayfs.mount import Overlay, mount_for
from builder.host.process import launch
from builder.host.programs import Command, find_program, missing_program
from builder.host.sandbox.sandbox import secluded
from builder.model.errors import HostError, OvenError, StageError
from builder.model.value import Value

KERNEL = (5, 19)
"""The first that lets overlayfs stand on idmapped mounts."""

GIB = 1 << 30
SCARCE = GIB
"""Less room than this does not do for one template."""
LITTLE = 5 * GIB
_CAP_SYS_RESOURCE = 24
_NAMESPACE_SETTINGS = (
    # Setting, what it is when it forbids, and what it should be.
    ("user/max_user_namespaces", "0", "65536"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)


class Check(Value, frozen=True, kw_only=True):
    """What came out of one look."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""
    """What to do, a command where there is one; empty when nothing is wrong."""


def attempt(name: str, work: Callable[[], str]) -> Check:
    """Do something that Oven will have to do; what goes wrong is what was found."""
    try:
        return Check(name=name, state="ok", found=work())
    except OvenError as error:
        return Check(name=name, state="fail", found=error.problem, fix=error.hint or "")
    except OSError as error:
        return Check(name=name, state="fail", found=str(error))


def program(name: str) -> Check:
    """Look for a program that there is no doing without."""

    def work() -> str:
        path = find_program(name)
        if path is None:
            raise missing_program(name)
        return str(path)

    return attempt(name, work)


def file(name: str, path: Path, fix: str) -> Check:
    """Look for a file."""
    if path.is_file():
        return Check(name=name, state="ok", found=str(path))
    return Check(name=name, state="fail", found=f"`{path}` is missing", fix=fix)


def kernel() -> Check:
    """Look at how old the kernel is."""
    release = os.uname().release
    parts = release.split("-", 1)[0].split(".")
    numbers = tuple(int(part) for part in parts[:2] if part.isdigit())
    if numbers >= KERNEL:
        return Check(name="kernel", state="ok", found=release)
    return Check(
        name="kernel",
        state="fail",
        found=f"{release}; containers need {'.'.join(map(str, KERNEL))} or newer",
        fix="install a newer kernel, in Debian from backports, and boot it",
    )


def user_namespaces(settings: Path = Path("/proc/sys")) -> Check:
    """Look at the settings that forbid user namespaces; which of them there are differs."""
    # For root only the first one matters, and root inside a container is no root in this.
    relevant = (
        _NAMESPACE_SETTINGS if current().unprivileged or os.geteuid() else (_NAMESPACE_SETTINGS[:1])
    )
    for name, bad, good in relevant:
        with contextlib.suppress(FileNotFoundError):
            if (settings / name).read_text(encoding="ascii").strip() == bad:
                dotted = name.replace("/", ".")
                return Check(
                    name="user namespaces",
                    state="fail",
                    found=f"forbidden by {dotted}={bad}",
                    fix=f"sysctl -w {dotted}={good}",
                )
    return Check(name="user namespaces", state="ok", found="allowed")


def sandbox(cache: Path) -> Check:
    """Do what a build does: become root of a namespace, mount an overlay, run a program."""

    def work() -> str:
        with scratch(cache) as folder:
            (folder / "lower").mkdir()

            def prepare() -> None:
                enter_namespace()
                names = ("lower", "upper", "work", "merged")
                with overlay(*(folder / name for name in names)) as merged:
                    (merged / "file").touch()
                done = secluded(Command(("true",)))
                if done.code != 0:
                    raise HostError(f"`bwrap` cannot make a sandbox: {done.output.strip()}")

            in_child(prepare)
        return f"works in `{cache}`"

    return attempt("build sandbox", work)


def container_disk(data: Path) -> Check:
    """Do what starting a container does: shift owners, and lay a layer over a template."""

    def work() -> str:
        with scratch(data) as folder:
            for name in ("own", "own/lower", "own/upper", "own/work", "idmapped", "merged"):
                (folder / name).mkdir()

            def prepare() -> None:
                mounts.private_namespace()
                # Any range will do for a moment: no process ever has these ids.
                with mounts.user_namespace(1 << 30, IDS) as namespace:
                    mounts.mount_idmapped(folder / "own", folder / "idmapped", namespace)
                own = folder / "idmapped"
                layers = Overlay((own / "lower",), own / "upper", own / "work")
                mount_for(1 << 30, layers, folder / "merged")
                with mounts.file_owner(1 << 30):
                    (folder / "merged/file").touch()

            in_child(prepare)
        return f"idmapped overlays work in `{data}`"

    return attempt("container disk", work)


def control_groups() -> Check:
    """Look at how the host arranges its cgroups, and what follows from it."""
    lacking = sorted({"cpu", "memory", "pids"} - cgroups.controllers())
    if lacking:
        return Check(
            name="cgroups",
            state="warn",
            found=f"{hierarchies.layout().value} without {', '.join(lacking)}: no such limits",
            fix="boot with `cgroup_enable=memory` or what else the kernel calls the controller",
        )
    if hierarchies.layout() is hierarchies.Layout.UNIFIED:
        return Check(name="cgroups", state="ok", found="v2")
    return Check(
        name="cgroups",
        state="warn",
        found="v1: containers are limited, but MemoryMax= and the like of units inside are not",
        fix="boot with `systemd.unified_cgroup_hierarchy=1`",
    )


def open_files(status: Path = Path("/proc/self/status")) -> Check:
    """Look whether containers may have more open files than this process may."""
    line = next(one for one in status.read_text().splitlines() if one.startswith("CapEff"))
    if int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1:
        return Check(name="CAP_SYS_RESOURCE", state="ok", found="there")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Check(
        name="CAP_SYS_RESOURCE",
        state="warn",
        found=f"missing: containers have at most {hard} open files",
        fix="run oven outside of the container or service that takes it away",
    )


def firewall(rules: str) -> Check:
    """Have the kernel say whether it would take our rules."""

    def work() -> str:
        link.check_rules(rules)
        return "nat and bridge rules work"

    return attempt("nftables", work)


def forwarding() -> Check:
    """Look for rules of others that keep containers from the network, or from asking for names."""
    try:
        found = barriers()
    except HostError as error:
        return Check(name="forwarding", state="fail", found=error.problem, fix=error.hint or "")
    if not found:
        return Check(name="forwarding", state="ok", found="no other firewall drops it")
    return Check(
        name="forwarding",
        state="warn",
        found=f"dropped by default in the chain `{'`, `'.join(one.chain for one in found)}`",
        fix=" && ".join(one.fix for one in found),
    )


def name_server(path: Path | None) -> Check:
    """Look for the program that knows containers by name."""
    if path is not None:
        return Check(name="dnsmasq", state="ok", found=str(path))
    return Check(
        name="dnsmasq",
        state="warn",
        found="not installed: containers do not find one another by name",
        fix="apt-get install dnsmasq-base",
    )


def room(name: str, folder: Path) -> Check:
    """Look how much of a disk is free."""
    where = _existing(folder)
    free = shutil.disk_usage(where).free
    found = f"{free / GIB:.1f} GiB free for `{folder}`"
    if free >= LITTLE:
        return Check(name=name, state="ok", found=found)
    fix = "free some, `oven cache prune`, or set OVEN_HOME to a folder on another disk"
    return Check(name=name, state="fail" if free < SCARCE else "warn", found=found, fix=fix)


def is_root() -> bool:
    """Tell whether this is root, whose containers have networks and ids of their own."""
    return os.geteuid() == 0


def in_child(prepare: Callable[[], None]) -> None:
    """Do something in a process of its own, whose mounts end with it; raises what it raises."""

    def work() -> None:
        try:
            prepare()
        except StageError as error:
            raise HostError(f"{error.problem}: {error.output.strip()}", hint=error.hint) from error

    launch.wait(launch.launch(launch.Program(("/usr/bin/env", "true")), work))


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Make an empty folder on the same disk, and no other that was not there before."""
    where = _existing(folder)
    with tempfile.TemporaryDirectory(prefix=".oven-doctor-", dir=where) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())
