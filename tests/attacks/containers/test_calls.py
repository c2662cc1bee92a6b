"""Calls that reach past every namespace: sockets of the hypervisor, rings, keyrings, the log."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.host.programs import Command
from builder.host.sandbox.sandbox import Sandbox, inside
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import hex_of
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control, create
from tests.support.containers.rig import Rig, rig_in, tiny_tree
from tests.support.hosts import calls
from tests.support.hosts.namespace import in_namespace
from tests.support.needs import needs

pytestmark = [
    needs("root", "userns", "program:runc", "program:conmon", "program:bwrap", "program:gcc"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are of x86_64"),
]

Ask = Callable[..., int]
EPERM, EBADF, ENOSYS, EAFNOSUPPORT = -1, -9, -38, -97
UNIX, INET, NETLINK, PACKET, RDS, ALG, VSOCK = 1, 2, 16, 17, 21, 38, 40
F_SETLEASE, F_WRLCK = 1024, 1
HIGH = 1 << 32
"""The kernel looks at the lower half of a family only."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calls.build(tmp_path_factory.mktemp("calls"))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Iterator[Rig]:
    tree = tiny_tree(tmp_path_factory.mktemp("tiny") / "rootfs")
    shutil.copy(program, tree / "usr/bin/calls")
    with rig_in(tmp_path_factory.mktemp("calls") / "home", tree) as rig:
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
        yield rig
    assert rig.leftovers() == []


@pytest.fixture(scope="module", params=["container", "script"])
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Make a call inside a container, or in a script of a build, as root; give the answer."""
    if request.param == "container":
        rig: Rig = request.getfixturevalue("rig")
        return lambda *words: int(capture(rig.places, "test", ("calls", *map(str, words)))[1])
    root = tmp_path_factory.mktemp("sandbox")
    for name in ("proc", "dev", "sys", "tmp"):
        (root / name).mkdir()
    shutil.copy(request.getfixturevalue("program"), root / "calls")

    def in_sandbox(*words: object) -> int:
        command = Command(("/calls", *map(str, words)))
        run = in_namespace(lambda: inside(Sandbox(root)).require(command), user="root")
        return int(run.stdout)

    return in_sandbox


@pytest.mark.parametrize("family", [VSOCK, ALG, RDS, VSOCK | HIGH, 45, 63])
def test_families_that_no_network_namespace_parts_are_unknown(ask: Ask, family: int) -> None:
    """H7: a guest took the host's port of AF_VSOCK, which leads to hypervisor and machines."""
    assert ask(64, 41, family, 1, 0) == EAFNOSUPPORT
    assert ask(64, 53, family, 1, 0) == EAFNOSUPPORT
    assert ask(32, 359, family & 0xFF, 1, 0) == EAFNOSUPPORT


@pytest.mark.parametrize("family", [UNIX, INET, NETLINK, PACKET])
def test_families_of_the_network_namespace_work(ask: Ask, family: int) -> None:
    """H7: what is parted stays, for 32-bit programs that ask in the newer way, too."""
    kind = 1 if family in {UNIX, INET} else 3
    assert ask(64, 41, family, kind, 0) >= 0
    assert ask(32, 359, family, kind, 0) >= 0


def test_no_family_hides_in_socketcall(ask: Ask) -> None:
    """H7: the 32-bit call whose family lies in memory, where no filter can look."""
    assert ask("mux", 1, VSOCK, 1, 0) == EAFNOSUPPORT
    assert ask("mux", 8, VSOCK, 1, 0) == EAFNOSUPPORT
    assert ask("mux", 4, 99, 1) == EBADF, "other calls, such as listen, are for sockets that are"


def test_systems_of_i386_have_sockets(tmp_path: Path, program: Path) -> None:
    """Their C library knows no other way; it is the template that says so, not the tree."""
    tree = tiny_tree(tmp_path / "rootfs")
    shutil.copy(program, tree / "usr/bin/calls")
    with rig_in(tmp_path / "home", tree) as rig:
        container = create.create(rig.places, rig.container())
        template = rig.places.data / "templates" / hex_of(container.template)
        (template / "manifest.json").write_text('{"arch": "i386"}')
        control.start(rig.places, "test", Silent())
        assert int(capture(rig.places, "test", ("calls", "mux", "1", "1", "1"))[1]) >= 0
    assert rig.leftovers() == []
    root = tmp_path / "sandbox"
    for name in ("proc", "dev", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(program, root / "calls")
    box, command = Sandbox(root, arch=Arch.I386), Command(("/calls", "mux", "1", "1", "1"))
    done = in_namespace(lambda: inside(box).require(command), user="root")
    assert int(done.stdout) >= 0


@pytest.mark.parametrize("number", [425, 426, 427])
def test_no_ring_makes_calls_past_the_filter(ask: Ask, number: int) -> None:
    """H7: io_uring opens sockets by messages in memory."""
    assert ask(64, number, 1, 0, 0) == ENOSYS
    assert ask(32, number, 1, 0, 0) == ENOSYS


@pytest.mark.parametrize(("wide", "narrow"), [(250, 288), (248, 286), (249, 287)])
def test_no_keyring_of_the_host_is_there(ask: Ask, wide: int, narrow: int) -> None:
    """H11: a script of root's build read the keys of root's user keyring."""
    user_keyring = 2**32 - 4
    assert ask(64, wide, 0, user_keyring, 0) == ENOSYS  # KEYCTL_GET_KEYRING_ID
    assert ask(32, narrow, 0, user_keyring, 0) == ENOSYS


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [(321, 357), (298, 336), (323, 374), (103, 103)],
    ids=["bpf", "perf_event_open", "userfaultfd", "syslog"],
)
def test_what_belongs_to_the_whole_kernel_is_refused(ask: Ask, wide: int, narrow: int) -> None:
    """H11: where the host's settings leave these to everybody, a script had them."""
    assert ask(64, wide, 10, 0, 0) in {EPERM, ENOSYS}
    assert ask(32, narrow, 10, 0, 0) in {EPERM, ENOSYS}


@pytest.mark.parametrize("number", [("64", 72), ("32", 55), ("32", 221)])
def test_nobody_inside_can_take_a_lease(rig: Rig, number: tuple[str, int]) -> None:
    """Whoever opens a leased file waits for its owner for 45 seconds, the host's root too."""
    words = f"calls {number[0]} {number[1]} 3 {F_SETLEASE}"
    script = f"cat /etc/passwd >/tmp/file; {words} {F_WRLCK} 3<>/tmp/file"
    assert capture(rig.places, "test", ("sh", "-c", script)) == (0, "-22\n")
