"""A storm: a program inside a container that changes files all the time, in every way there is."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from builder.runtime.record import state
from builder.runtime.record.container import load
from builder.runtime.record.layout import cgroup_of
from tests.support.containers.rig import Rig
from tests.support.oven import CHECKOUT

_PROGRAM = """
import contextlib, ctypes, mmap, os, random, sys
from builder.host.kernel import cgroups
cgroup, pid, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cgroups.enter(cgroup)
os.chdir(f"/proc/{pid}/root")
os.setgroups([])
os.setresgid(first, first, first)
os.setresuid(first, first, first)
os.mkdir("storm")
os.chdir("storm")
libc = ctypes.CDLL(None)
luck = random.Random(int(sys.argv[4]))
def some():
    depth = luck.randrange(1, 4)
    return "/".join(luck.choice("abcde") for _ in range(depth))
def opener(path, flags):
    return os.open(path, flags | os.O_NONBLOCK, 0o644)  # a fifo has no reader
def write(path, two):
    with open(path, "r+b" if luck.random() < 0.3 else "wb", opener=opener) as file:
        file.write(os.urandom(luck.randrange(1, 9000)))
def put(path, two):
    with open(path + "~", "wb") as file:
        file.write(os.urandom(luck.randrange(1, 90)))
    os.rename(path + "~", path)
def holes(path, two):
    with open(path, "wb", opener=opener) as file:
        file.seek(1 << 20)
        file.write(b"x")
def exchange(path, two):
    libc.renameat2(-100, path.encode(), -100, two.encode(), 2)
def attribute(path, two):
    os.setxattr(path, "user.of", os.urandom(4))
def node(path, two):
    os.mkfifo(path, luck.choice((0o600, 0o644)))
def clear(path, two):
    for above, folders, names in os.walk(path, topdown=False):
        for one in names:
            os.unlink(f"{above}/{one}")
        os.rmdir(above)
DEEDS = (write, put, put, holes, exchange, exchange, attribute, node, clear,
         lambda path, two: os.mkdir(path, 0o755), lambda path, two: os.mkdir(path, 0o700),
         lambda path, two: os.mkdir(path), lambda path, two: os.rename(path, two),
         lambda path, two: os.rename(path, two), lambda path, two: os.link(path, two),
         lambda path, two: os.link(path, two), lambda path, two: os.symlink(two, path),
         lambda path, two: os.unlink(path), lambda path, two: os.chmod(path, 0o640),
         lambda path, two: os.utime(path, (1, 1)))
seen = []
for each in "12":
    with open(f"memory{each}", "wb+") as file:
        file.truncate(4096)
        seen.append(mmap.mmap(file.fileno(), 4096))
turn = 0
while True:
    turn += 1
    for one in seen:
        one[:8] = turn.to_bytes(8, "big")
    with contextlib.suppress(OSError):
        luck.choice(DEEDS)(some(), some())
    if turn == 2000:
        print("it blows", flush=True)
"""


@contextlib.contextmanager
def storm(rig: Rig, name: str, seed: int) -> Iterator[None]:
    """Have files of a running container change until the block ends."""
    current = state.read(rig.places, name)
    assert current is not None
    first = load(rig.places, name).first_id
    argv = (
        sys.executable,
        "-c",
        _PROGRAM,
        cgroup_of(rig.places, name),
        str(current.pid),
        str(first),
        str(seed),
    )
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"it blows\n"
            yield
            assert process.poll() is None
        finally:
            process.kill()
