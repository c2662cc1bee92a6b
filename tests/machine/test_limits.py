"""Limits on a host with version 2 cgroups, changed while the container runs, and held."""

import shlex
from collections.abc import Callable, Iterator

import pytest

from tests.machine.conftest import shown
from tests.support.hosts.machine import Machine

MIB = 1 << 20
EAT = "head -c 96M /dev/zero | tail -c 64M >/dev/null"
SPIN = "timeout 4 sh -c 'while :; do :; done & while :; do :; done'"
FORK = "for i in $(seq 60); do sleep 20 & done; wait"

Inside = Callable[..., int]


@pytest.fixture(scope="module")
def box(machine: Machine) -> Iterator[str]:
    """A container that runs, whose disk has a size and a number of files."""
    options = "--network none --disk 256M --inodes 4096"
    machine.run(f"oven run --name box {options} debian-bookworm")
    yield "box"
    machine.run("oven destroy --force box")


@pytest.fixture
def inside(machine: Machine, box: str) -> Inside:
    """Run a line of shell in the container, and give its exit status."""

    def run(line: str) -> int:
        return machine.run(f"oven exec {box} -- sh -c {shlex.quote(line)}", code=None).status

    return run


def use(machine: Machine, kind: str, key: str) -> object:
    used = shown(machine, "box")["use"]
    assert isinstance(used, dict)
    return used[kind][key]


def test_memory(machine: Machine, inside: Inside) -> None:
    assert inside(EAT) == 0
    machine.run("oven set box --memory 48M --swap 0")
    assert use(machine, "memory", "limit") == 48 * MIB
    assert inside(EAT) != 0
    kills = use(machine, "memory", "oom-kills")
    assert isinstance(kills, int)
    assert kills > 0
    machine.run("oven set box --memory none --swap none")
    assert inside(EAT) == 0


def test_processors(machine: Machine, inside: Inside) -> None:
    before = use(machine, "cpu", "throttled")
    machine.run("oven set box --cpus 0.5 --weight 200")
    assert use(machine, "cpu", "limit") == 0.5
    inside(SPIN)
    held = use(machine, "cpu", "throttled")
    assert isinstance(held, int)
    assert isinstance(before, int)
    assert held > before
    machine.run("oven set box --cpus none --weight none")
    assert use(machine, "cpu", "limit") is None


def test_processes(machine: Machine, inside: Inside) -> None:
    machine.run("oven set box --pids 40")
    assert inside(FORK) != 0
    machine.run("oven set box --pids none")
    assert inside("for i in $(seq 60); do true & done; wait") == 0


@pytest.mark.parametrize(
    ("limit", "least", "line"),
    [
        # Through the page cache, as programs write: what version 1 of cgroups cannot limit.
        ("--write-bps 1M", 6, "dd if=/dev/zero of=/srv/file bs=1M count=8 conv=fsync"),
        ("--write-iops 10", 6, "dd if=/dev/zero of=/srv/file bs=4k count=80 oflag=direct"),
        ("--read-bps 1M", 6, "dd if=/srv/file of=/dev/null bs=1M iflag=direct"),
        ("--read-iops 10", 6, "dd if=/srv/file of=/dev/null bs=4k count=80 iflag=direct"),
    ],
)
def test_rates(machine: Machine, inside: Inside, limit: str, least: int, line: str) -> None:
    """A limit is a time that cannot be undercut, however slow the machine is."""
    assert inside("dd if=/dev/zero of=/srv/file bs=1M count=8 conv=fsync") == 0
    machine.run(f"oven set box {limit}")
    timed = f"begin=$(date +%s); {line} && test $(($(date +%s) - begin)) -ge {least}"
    assert inside(timed) == 0
    machine.run(f"oven set box {limit.split(maxsplit=1)[0]} none")
    limits = shown(machine, "box")["limits"]
    assert isinstance(limits, dict)
    assert [key for key, value in limits.items() if value is not None] == ["disk", "inodes"]


def test_an_ext4_disk_grows_while_in_use(machine: Machine, inside: Inside) -> None:
    """That takes a right of root's that root of many a container or CI machine lacks."""
    fill = "dd if=/dev/zero of=/srv/large bs=1M count=300 conv=fsync"
    many = "mkdir -p /srv/many && cd /srv/many && seq 5000 | xargs touch"
    assert inside(fill) != 0
    assert inside("rm /srv/large") == 0
    assert inside(many) != 0
    machine.run("oven set box --disk 600M")
    assert inside(many) == 0
    assert inside(fill) == 0
    machine.run("oven restart box")
    size, files = use(machine, "disk", "limit-bytes"), use(machine, "disk", "limit-inodes")
    assert isinstance(size, int)
    assert isinstance(files, int)
    assert 500 * MIB < size <= 600 * MIB, "ext4 keeps some of it for itself"
    assert files > 9000
    assert inside("test $(ls /srv/many | wc -l) = 5000") == 0
