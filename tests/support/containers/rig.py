"""Small containers for tests: a tree of this machine's own programs, and where to run it."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.host import pids
from builder.host.places import Places
from builder.model.feature import Feature
from builder.model.value import Digest
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import (
    Container,
    Init,
    Limits,
    all_names,
    new_container,
)
from builder.runtime.record.layout import UPPER, cgroup_of, folder_of
from tests.support.oven import CHECKOUT

PROGRAMS = (
    "cat", "chown", "dash", "dd", "df", "env", "head", "id", "ln", "logger", "ls",
    "mkdir", "mount", "readlink", "rm", "sleep", "stat", "tail", "touch", "true",
)  # fmt: skip

SAYS = 'logger --socket /run/host/notify "\nREADY=1"\n'
"""What a shell script may do to say that it is ready (sd_notify(3))."""
INIT = f"""\
#!/bin/sh
echo hello from the console
{SAYS}trap 'echo going down; exit 0' TERM
sleep 1000 &
while :; do wait; done
"""

FEATURES: tuple[Feature, ...] = msgspec.convert(
    os.environ.get("OVEN_TEST_FEATURES", "").split(), tuple[Feature, ...]
)
"""What every container of a run of tests has: attacks are tried with all of it, too."""
DIGEST = Digest("sha256:" + "ab" * 32)


@dataclass(frozen=True)
class Rig:
    """Places of its own, with one template in them."""

    places: Places

    def container(
        self, name: str = "test", init: Init = "other", limits: Limits | None = None
    ) -> Container:
        fresh = new_container(name, DIGEST, "tiny")
        return msgspec.structs.replace(
            fresh, init=init, limits=limits or Limits(), features=FEATURES
        )

    def of_systemd(self, name: str = "test") -> None:
        """Make a container with an init that passes for systemd, and never says that it is up."""
        create.create(self.places, self.container(name, init="systemd"))
        put_init(folder_of(self.places, name) / UPPER, SILENT, as_systemd=True)

    def call(self, code: str, **options: object) -> "subprocess.Popen[bytes]":
        """Run Python in a process of its own, which can be killed; `places` is known to it."""
        return subprocess.Popen(
            [sys.executable, "-c", PREAMBLE.format(home=self.places.data) + textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=CHECKOUT,
        )

    def own_file(self, path: str) -> Path:
        """Give a path in the own layer of the container `test`, in a folder that is there."""
        found = folder_of(self.places, "test") / UPPER / path
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def leftovers(self) -> list[str]:
        """Name all that containers of this rig have left outside of their folders."""
        found = [f"process {pid}" for pid in processes_of(self) if not _ends(pid)]
        found += [str(path) for path in (self.places.runtime / "containers").glob("*")]
        found += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines()
                  if "/run/oven" in line or str(self.places.data) in line]  # fmt: skip
        home = cgroup_of(self.places, "")
        # Not `**`: others' cgroups come and go while it is walked.
        for pattern in (f"oven/*{home}", f"*/oven/*{home}"):
            found += [str(path) for path in Path("/sys/fs/cgroup").glob(pattern)]
        containers = self.places.data / "containers"
        found += [str(path) for path in containers.glob("*.*") if path.name != ".lock"]
        found += [str(path) for path in (self.places.runtime / "open").glob("*")]
        found += [line for line in _loop_devices() if str(self.places.data) in line]
        return found


def _ends(pid: int) -> bool:
    """Tell whether a process comes to its end: it has nothing to do any more, and is not held."""
    with pids.hold(pid) as process:
        return process.wait(5)


def _loop_devices() -> list[str]:
    argv = ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


PREAMBLE = """\
from pathlib import Path
from builder.host.places import Places
from builder.model.progress import Silent
home = Path("{home}")
places = Places(data=home, cache=home / "cache", runtime=home / "run", settings=())
"""


def processes_of(rig: Rig) -> list[int]:
    """Find processes whose command line names a place of the rig, or that run in its range."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(rig.places.runtime).encode() in words and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


@contextmanager
def rig_in(folder: Path, rootfs: Path) -> Iterator[Rig]:
    """Set up places with that tree as the template; destroy its containers in the end."""
    places = Places(data=folder, cache=folder / "cache", runtime=folder / "run", settings=())
    template = folder / "templates" / ("ab" * 32)
    template.mkdir(parents=True)
    (template / "rootfs").symlink_to(rootfs)
    rig = Rig(places)
    try:
        yield rig
    finally:
        with ExitStack() as stack:  # one that cannot be destroyed keeps no other
            for name in all_names(places):
                stack.callback(control.destroy, places, name, force=True)


def tiny_tree(root: Path) -> Path:
    """Make a tree that runs a shell: programs of this machine and the libraries they load."""
    for folder in ("proc", "sys", "dev", "run", "etc", "usr/bin", "usr/sbin", "usr/lib", "tmp"):
        (root / folder).mkdir(parents=True)
    for link in ("bin", "sbin", "lib"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "lib64").symlink_to("usr/lib64")
    (root / "usr/lib64").mkdir()
    for program in PROGRAMS:
        add_program(root, program)
    (root / "usr/bin/sh").symlink_to("dash")
    put_init(root, INIT)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nstaff:x:50:ann\n")
    return root


SILENT = INIT.replace(SAYS, "")
"""The same, which does not say that it is ready."""


def put_init(root: Path, script: str, *, as_systemd: bool = False) -> None:
    """Make a script the init of a tree, or of a layer of one; it may pass for systemd."""
    program = root / ("usr/lib/systemd/systemd" if as_systemd else "usr/sbin/init")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.unlink(missing_ok=True)
    program.write_text(script)
    program.chmod(0o755)
    if as_systemd:
        (root / "usr/sbin").mkdir(exist_ok=True)
        (root / "usr/sbin/init").unlink(missing_ok=True)
        (root / "usr/sbin/init").symlink_to("/usr/lib/systemd/systemd")


def add_program(root: Path, program: str) -> None:
    """Copy a program of this machine, and what it loads, into a tree."""
    path = shutil.which(program, path="/usr/bin:/bin")
    assert path, program
    shutil.copy(path, root / "usr/bin" / program)
    listed = subprocess.run(["ldd", path], capture_output=True, text=True)
    assert listed.returncode == 0 or "not a dynamic executable" in listed.stderr, listed.stderr
    for library in re.findall(r"(/\S+)", listed.stdout):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(library, target)
