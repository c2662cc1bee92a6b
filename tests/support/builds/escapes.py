"""What a hostile package may try in order to get out of its sandbox, as one maintainer script."""

import ctypes
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

_AT_FDCWD = -100

SCRIPT = r"""#!/bin/sh
# Every attempt that succeeds is written down.
mkdir -p /var/lib/attempts
try() {
    name=$1
    shift
    if "$@" >/dev/null 2>&1 </dev/null; then echo "$name" >>/var/lib/attempts/done; fi
}
read_secret() { grep -q TOKEN "$1"; }
try nothing true
try "reads the host's file" read_secret SECRET
try "reads it through the root of the first process" read_secret /proc/1/root/SECRET
try "reads it through the parent's root" read_secret "/proc/$PPID/root/SECRET"
try "writes beside it" sh -c ': >SECRET.new'
try "mounts a file system" mount -t tmpfs none /mnt
try "mounts the kernel's list of devices" mount -t devtmpfs none /mnt
try "mounts sysfs" mount -t sysfs none /mnt
try "gives devices their meaning back" mount -o remount,dev /
disk() { mknod /var/lib/attempts/disk b MAJOR MINOR && head -c 512 /var/lib/attempts/disk; }
try "reads the host's disk" disk
rm -f /var/lib/attempts/disk
uncover() {
    umount /proc/sys
    cp /proc/sys/vm/swappiness /root/s && cat /root/s >/proc/sys/vm/swappiness
}
try "sets the kernel's parameters" uncover
rm -f /root/s
try "may press the magic key" test -w /proc/sysrq-trigger
try "sees the host's processes" test -e /proc/HOST_PID/root
try "kills a process of the host" kill -9 HOST_PID
try "joins the first process's mounts" nsenter --mount=/proc/1/ns/mnt test -e SECRET
try "reads the kernel's log" sh -c 'head -c 1 /dev/kmsg'
cat >/var/lib/attempts/handle.pl <<'END'
my $place = -d "/run/oven/packages" ? "/run/oven/packages" : "/";
opendir(my $folder, $place) or die;
my $handle = pack("H*", "HANDLE");
my $fd = syscall(304, fileno($folder), $handle, 0);  # open_by_handle_at(2)
exit($fd >= 0 ? 0 : 1);
END
try "opens the host's file by its handle" perl /var/lib/attempts/handle.pl
cat >/var/lib/attempts/chroot.pl <<'END'
opendir(my $top, "/") or die;
mkdir "/var/lib/attempts/jail";
chroot "/var/lib/attempts/jail" or die;
syscall(81, fileno($top)) == 0 or die;  # fchdir(2)
chdir ".." for 1 .. 64;
chroot "." or die;
exit(-e "SECRET" ? 0 : 1);
END
try "climbs out of a chroot" perl /var/lib/attempts/chroot.pl
cat >/var/lib/attempts/net.pl <<'END'
socket(my $s, 2, 1, 0) or die;
connect($s, pack("S n C4 x8", 2, PORT, 127, 0, 0, 1)) or die;
END
try "reaches a server of the host" perl /var/lib/attempts/net.pl
rm -rf /var/lib/attempts/*.pl /var/lib/attempts/jail
"""

RESULT = "./var/lib/attempts/done"
"""Where a template has what has succeeded."""


@dataclass(frozen=True)
class Secret:
    """A file of the host that nobody inside may reach."""

    path: Path
    token: str

    @classmethod
    def make(cls, folder: Path) -> "Secret":
        """Write it."""
        secret = cls(folder / "secret", secrets.token_hex(16))
        secret.path.write_text(secret.token)
        return secret

    def script(self, *, port: int, host_pid: int) -> str:
        """Give the script that tries to reach it, a port of the host, and a process."""
        device = self.path.stat().st_dev
        values = {
            "SECRET": str(self.path),
            "TOKEN": self.token,
            "HANDLE": _handle(self.path).hex(),
            "MAJOR": str(os.major(device)),
            "MINOR": str(os.minor(device)),
            "HOST_PID": str(host_pid),
            "PORT": str(port),
        }
        text = SCRIPT
        for name, value in values.items():
            text = text.replace(name, value)
        return text


def _handle(path: Path) -> bytes:
    """Give the name by which open_by_handle_at(2) knows a file."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = 128
    handle = ctypes.create_string_buffer(size.to_bytes(4, "little") + bytes(4 + size))
    mount = ctypes.c_int()
    done = libc.name_to_handle_at(_AT_FDCWD, os.fsencode(path), handle, ctypes.byref(mount), 0)
    assert done == 0, os.strerror(ctypes.get_errno())
    used = int.from_bytes(handle.raw[:4], "little")
    return handle.raw[: 8 + used]
