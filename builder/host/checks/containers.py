"""Looking this machine over for what only some containers need, and those of ordinary users."""

import errno
import os
import tempfile
from pathlib import Path

from builder.host.checks.machine import Check, attempt, in_child, scratch
from builder.host.kernel import hierarchies, sysctl
from builder.host.kernel.namespaces import enter_containers
from builder.host.overlayfs.mount import Overlay, mount_for
from builder.host.programs import find_program, on_host, program_version
from builder.host.trees import images
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError


def runtime(path: Path, *, too_old: bool) -> Check:
    """Tell of the OCI runtime that was chosen, with its version."""
    name = "OCI runtime"
    found = f"{path}, {program_version(on_host, (str(path), '--version'))}"
    if not too_old:
        return Check(name=name, state="ok", found=found)
    found += ": an image's link at /dev leads it out of the container's root"
    return Check(name=name, state="warn", found=found, fix="apt-get install runc")


def safe_paths() -> Check:
    """Do what every look into a container does: resolve a path inside a root (openat2(2))."""

    def work() -> str:
        with tempfile.TemporaryDirectory() as folder, TreeIO(Path(folder)) as tree:
            try:
                tree.lstat("/../..")
            except OSError as error:
                if error.errno not in {errno.ENOSYS, errno.EPERM}:
                    raise
                raise HostError(
                    f"the system call openat2 is refused: {error.strerror}",
                    hint="run oven outside of the container or service whose seccomp filter"
                    " does not know it",
                ) from error
        return "works"

    return attempt("openat2", work)


def pressure(folder: Path = Path("/proc/pressure")) -> Check:
    """Look whether the kernel tells what processes wait for."""
    name = "pressure"
    try:
        (folder / "cpu").read_bytes()
    except OSError:
        return Check(
            name=name,
            state="warn",
            found="the kernel does not tell it: no `waits for` in `oven show` and `oven top`",
            fix="boot with `psi=1`; the kernel needs CONFIG_PSI",
        )
    return Check(name=name, state="ok", found="told by the kernel")


def inotify() -> Check:
    """Look whether many systemds may watch files at once."""
    small = sysctl.too_small()
    if not small:
        return Check(name="inotify", state="ok", found="enough for many containers")
    if sysctl.may_raise():
        found = "too few for many containers: raised when one is started"
        return Check(name="inotify", state="ok", found=found)
    found = "too few instances: some ten containers at once, and no more"
    words = " ".join(f"{name}={wanted}" for name, wanted in small.items())
    return Check(name="inotify", state="warn", found=found, fix=f"as root: sysctl -w {words}")


def limited_disks(control: Path = Path("/dev/loop-control")) -> Check:
    """Look for what `--disk` and `--inodes` need."""
    name = "limited disks"
    if not control.exists():
        found = f"`{control}` is missing: containers cannot have a disk limit"
        return Check(name=name, state="warn", found=found, fix="modprobe loop")
    btrfs = find_program("mkfs.btrfs") is not None
    ext4 = find_program("mkfs.ext4") is not None
    known = images.known("btrfs")
    if ext4 and (btrfs or not known):
        kinds = "btrfs, and ext4 for `--inodes`" if known else "ext4; this kernel has no btrfs"
        return Check(name=name, state="ok", found=kinds)
    if ext4:
        found, fix = "ext4 alone, which cannot shrink while in use", "btrfs-progs"
    elif btrfs and known:
        found, fix = "btrfs alone: no `--inodes`", "e2fsprogs"
    else:
        found, fix = "neither btrfs nor ext4: containers cannot have a disk limit", "e2fsprogs"
    return Check(name=name, state="warn", found=found, fix=f"apt-get install {fix}")


def disk_of_user(data: Path) -> Check:
    """Do what starting an ordinary user's container does: lay a layer over a template."""

    def work() -> str:
        with scratch(data) as folder:
            for name in ("lower", "upper", "work", "merged"):
                (folder / name).mkdir()

            def prepare() -> None:
                enter_containers(())
                upper, working = folder / "upper", folder / "work"
                layers = Overlay((folder / "lower",), upper, working, of_user=True)
                try:
                    mount_for(0, layers, folder / "merged")
                except OSError as error:
                    raise HostError(
                        f"an overlay cannot be mounted in a user namespace: {error.strerror}",
                        hint="it takes Linux 5.11 or newer, and for the user's folder a file"
                        " system such as ext4, xfs or btrfs",
                    ) from error
                (folder / "merged/file").touch()

            in_child(prepare)
        return f"overlays of ordinary users work in `{data}`"

    return attempt("container disk", work)


def network_of_user(tun: Path = Path("/dev/net/tun")) -> Check:
    """Look for what an ordinary user's networks need."""
    name, lack = "user's network", "only `--network none` works"
    if find_program("pasta") is None:
        found = f"the program `pasta` is not installed: {lack}"
        return Check(name=name, state="warn", found=found, fix="apt-get install passt")
    if os.access(tun, os.R_OK | os.W_OK):
        return Check(name=name, state="ok", found=f"pasta, and `{tun}` may be used")
    fix = f"as root: chmod 0666 {tun}" if tun.exists() else "as root: modprobe tun"
    return Check(name=name, state="warn", found=f"`{tun}` may not be used: {lack}", fix=fix)


def cgroup_of_user() -> Check:
    """Look for a cgroup that this user may arrange, and for what can be limited in it."""
    name, part = "user's cgroup", hierarchies.delegated()
    if part is None:
        return Check(
            name=name,
            state="warn",
            found="none: systemd cannot boot in containers; single commands and other inits can",
            fix=hierarchies.HOW_USERS_GET_ONE,
        )
    controllers: set[str] = set()
    if hierarchies.layout() is hierarchies.Layout.UNIFIED:
        controllers = set((part / "cgroup.controllers").read_text(encoding="ascii").split())
    if lacking := sorted({"cpu", "memory", "pids"} - controllers):
        return Check(
            name=name,
            state="warn",
            found=f"`{part}` without {', '.join(lacking)}: no such limits",
            fix="on a host with version 2 cgroups, as root: systemctl edit user@.service,"
            " and write `Delegate=cpu io memory pids` below `[Service]`",
        )
    return Check(name=name, state="ok", found=str(part))
