"""A whole machine in software: a Debian host with systemd, to run commands in and to reboot."""

import json
import os
import select
import shlex
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tests.support.hosts.machine_disk import Disk

PATIENCE = 900
"""Seconds after which a command, or a boot, counts as stuck: emulation takes ten times as long."""


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    status: int
    out: str
    err: str


@dataclass
class Machine:
    """A running machine."""

    disk: Disk
    qemu: "subprocess.Popen[bytes]"
    port: int = 0
    said: bytes = field(default=b"", repr=False)

    def run(
        self, command: str, *, user: str = "root", code: int | None = 0, stdin: bytes = b""
    ) -> Done:
        """Run a line of shell; another exit status than `code` fails the test and shows all."""
        argv = [*self._ssh(user), command]
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=PATIENCE)
        result = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        shown = f"{command}\n{result.out}\n{result.err}"
        assert code in (None, result.status), f"status {result.status}, not {code}: {shown}"
        assert "Traceback" not in result.err, shown
        return result

    def put(self, source: Path, path: str) -> None:
        """Copy a file into the machine."""
        self.run(f"cat >{shlex.quote(path)}", stdin=source.read_bytes())

    def get(self, path: str) -> str:
        """Read a text file of the machine."""
        return self.run(f"cat {shlex.quote(path)}").out

    def reboot(self) -> None:
        """Shut the machine down as its administrator does, and wait until it is up again."""
        self.run("systemctl reboot", code=None)
        self.await_ready()

    def await_ready(self) -> None:
        """Wait for the line that a unit of the machine sends at the end of each boot."""
        assert self.qemu.stdout is not None
        while b"ready" not in self.said:
            readable, _, _ = select.select([self.qemu.stdout], [], [], PATIENCE)
            piece = os.read(self.qemu.stdout.fileno(), 4096) if readable else b""
            assert piece, f"the machine did not come up:\n{self.console()[-4000:]}"
            self.said += piece
        self.said = self.said.partition(b"ready")[2]
        self.port = self.port or _port(self.disk.folder / "monitor")
        # Root's commands share one login, which would take seconds each; it ends with the machine.
        master = [*self._ssh("root"), "-fNM"]
        subprocess.run(master, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=PATIENCE)  # fmt: skip

    def console(self) -> str:
        """Give what the machine wrote to its console since it was made."""
        return (self.disk.folder / "console").read_text(errors="replace")

    def _ssh(self, user: str) -> list[str]:
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                   "LogLevel=ERROR", f"ControlPath={self.disk.folder}/%r"]  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        key = str(self.disk.folder / "key")
        return ["ssh", "-F", "none", "-i", key, "-p", str(self.port), *words, f"{user}@127.0.0.1"]


@contextmanager
def boot(disk: Disk) -> Iterator[Machine]:
    """Lend a machine that starts from a disk."""
    # The kernel ends it together with the tests, however these end.
    argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *_hardware(disk)]
    argv += ["-qmp", f"unix:{disk.folder / 'monitor'},server=on,wait=off"]
    argv += ["-serial", f"file:{disk.folder / 'console'}"]
    qemu = subprocess.Popen(
        [*argv, "-serial", "stdio"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    machine = Machine(disk, qemu)
    try:
        machine.await_ready()
        yield machine
    finally:
        qemu.kill()
        qemu.communicate()


def _hardware(disk: Disk) -> list[str]:
    drive = f"file={disk.folder / 'disk'},format=raw,if=virtio,cache=unsafe,discard=unmap"
    command = "root=/dev/vda rw console=ttyS0 systemd.unified_cgroup_hierarchy=1 panic=-1"
    return [
        *("-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "3G"),
        *("-kernel", str(disk.folder / "vmlinuz"), "-initrd", str(disk.folder / "initrd.img")),
        *("-append", command, "-drive", drive, "-display", "none", "-nodefaults"),
        *("-nic", "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:0-:22"),
        *("-device", "virtio-rng-pci"),
    ]


def _port(monitor: Path) -> int:
    """Ask qemu which port of the host it has taken for the machine's ssh."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(monitor))
        with link.makefile("rw") as lines:
            lines.readline()
            _ask(lines, "qmp_capabilities")
            reply = _ask(lines, "human-monitor-command", {"command-line": "info usernet"})
    (row,) = [line for line in reply.splitlines() if "HOST_FORWARD" in line]
    return int(row.split()[3])


def _ask(lines: TextIO, command: str, arguments: Mapping[str, str] | None = None) -> str:
    lines.write(json.dumps({"execute": command, "arguments": arguments or {}}) + "\n")
    lines.flush()
    while "return" not in (reply := json.loads(lines.readline())):
        assert "event" in reply, reply
    return str(reply["return"])
