"""Namespaces and sandboxes: what a program in a tree sees, and that nothing of it is left."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.kernel.namespaces import current, enter_namespace, mount
from builder.host.programs import Command
from builder.host.sandbox.sandbox import Sandbox, SandboxBind, inside, secluded
from builder.model.errors import HostError, StageError
from tests.support.hosts.namespace import folder_of, in_child, in_namespace, ordinary_user
from tests.support.needs import needs

pytestmark = needs("root", "userns", "program:bwrap", "program:useradd")

Place = tuple[str, Path]
"""A user and a folder of theirs."""


@pytest.fixture(scope="module", params=["root", "oven-sandbox"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Everything holds for root and for an ordinary user."""
    if request.param == "root":
        with folder_of("root") as folder:
            yield "root", folder
    else:
        with ordinary_user(request.param) as user, folder_of(user) as folder:
            yield user, folder


def make_tree(root: Path) -> Path:
    """Make a tree that borrows the host's programs."""
    for name in ("usr", "proc", "dev", "sys", "tmp", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    return root


def box(folder: Path) -> Sandbox:
    return Sandbox(make_tree(folder / "tree"), (SandboxBind(Path("/usr"), "/usr"),), epoch=7)


def say(place: Place, script: str) -> str:
    """Run a script in a sandbox and give what it printed."""
    user, folder = place

    def work() -> str:
        return inside(box(folder)).require(Command(("sh", "-ec", script))).stdout.decode()

    return in_namespace(work, user=user)


def test_a_program_sees_a_clean_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    assert set(say(place, "env -u PWD -u SHLVL -u _").splitlines()) == {
        "DEBCONF_NONINTERACTIVE_SEEN=true",
        "DEBIAN_FRONTEND=noninteractive",
        "FORCE_SOURCE_DATE=1",
        "HOME=/root",
        "LC_ALL=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SOURCE_DATE_EPOCH=7",
        "TZ=UTC",
    }


def test_a_program_is_root_on_a_machine_of_its_own(place: Place) -> None:
    assert say(place, "id -u; uname -n; pwd").split() == ["0", "localhost", "/"]
    assert say(place, "ls -A /sys") == ""
    interfaces = say(place, "tail -n +3 /proc/net/dev")
    assert [line.split(":")[0].strip() for line in interfaces.splitlines()] == ["lo"]
    processes = say(place, "ls /proc | grep -c '^[0-9]'")
    assert int(processes) < 6
    devices = say(place, "echo x >/dev/null; head -c 1 /dev/urandom | wc -c; ls /dev/pts /dev/shm")
    assert devices.split()[0] == "1"
    assert "sda" not in devices


def test_all_ids_of_a_tree_can_be_given(place: Place) -> None:
    script = "for id in 1 42 65534 65535; do : >/tmp/x; chown $id:$id /tmp/x; stat -c %u:%g /tmp/x;"
    script += " rm /tmp/x; done; su -s /bin/sh -c 'id -u' nobody 2>/dev/null || true"
    assert say(place, script).split()[:4] == ["1:1", "42:42", "65534:65534", "65535:65535"]


@pytest.mark.parametrize(
    "call",
    ["fsync(-1)", "fdatasync(-1)", "syncfs(-1)", "sync_file_range(-1, 0, 0, 0)", "msync(1, 1, 4)"],
)
def test_syncing_succeeds_without_being_done(place: Place, call: str) -> None:
    # There is no such file, so only the filter can let these succeed.
    assert say(place, f"/usr/bin/python3 -c 'import ctypes; print(ctypes.CDLL(None).{call})'") == (
        "0\n"
    )


def test_other_calls_pass_the_filter(place: Place) -> None:
    lines = "l = ctypes.CDLL(None); print(l.msync(1, 1, 1), l.close(-1), l.getppid() > 0)"
    assert say(place, f"/usr/bin/python3 -c 'import ctypes; {lines}'") == "-1 -1 True\n"


def test_a_failure_shows_the_output_and_a_command_that_can_be_pasted(place: Place) -> None:
    user, folder = place

    def work() -> subprocess.CompletedProcess[str]:
        with pytest.raises(StageError) as caught:
            inside(box(folder)).require(Command(("sh", "-c", 'echo "it broke"; exit 3')))
        assert caught.value.output == "it broke\n"
        assert "status 3" in caught.value.problem
        assert caught.value.command
        argv = ["sh", "-c", caught.value.command]
        return subprocess.run(argv, capture_output=True, text=True)

    pasted = in_namespace(work, user=user)
    assert (pasted.returncode, pasted.stdout) == (3, "it broke\n")


def test_a_program_that_is_missing_is_the_commands_fault(place: Place) -> None:
    user, folder = place
    command = Command(("/tmp/nothing",))
    with pytest.raises(StageError, match="`/tmp/nothing` ended with status 1") as caught:
        in_namespace(lambda: inside(box(folder)).require(command), user=user)
    assert "No such file" in caught.value.output


def test_programs_of_another_architecture_are_told(place: Place) -> None:
    user, folder = place

    def work() -> None:
        root = make_tree(folder / "alien")
        (root / "usr/bin").mkdir(exist_ok=True)
        (root / "usr/bin/sh").write_bytes(b"\x7fELF of another machine")
        (root / "usr/bin/sh").chmod(0o755)
        inside(Sandbox(root)).require(Command(("sh",)))

    with pytest.raises(HostError, match="architecture"):
        in_namespace(work, user=user)


def test_a_sandbox_that_cannot_be_made_is_the_hosts_fault(place: Place) -> None:
    user, folder = place

    def work() -> None:
        sandbox = Sandbox(make_tree(folder / "tree"), (SandboxBind(folder / "missing", "/tmp"),))
        inside(sandbox).require(Command(("true",)))

    with pytest.raises(HostError, match="missing"):
        in_namespace(work, user=user)


def test_a_daemon_dies_with_the_command_that_started_it(place: Place) -> None:
    mark = f"4242.{os.getpid()}"
    assert say(place, f"setsid sleep {mark} & echo started") == "started\n"
    assert not running(mark)


def test_all_dies_when_oven_is_killed(place: Place) -> None:
    user, folder = place
    mark = f"4343.{os.getpid()}"

    def work() -> None:
        killer = threading.Timer(0.5, os._exit, [0])
        killer.start()
        inside(box(folder))(Command(("sh", "-c", f"sleep {mark}; true")))

    with pytest.raises(AssertionError, match="the child died"):
        in_namespace(work, user=user)
    deadline = time.monotonic() + 10
    while running(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(mark)


def running(mark: str) -> bool:
    """Tell whether a process has this argument."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in file.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def test_a_program_of_the_host_can_run_without_network(place: Place) -> None:
    user, _ = place
    script = "cat /proc/net/dev | tail -n +3 | wc -l; test -e /etc/passwd && id -u"
    done = in_namespace(lambda: secluded(Command(("sh", "-c", script))), user=user)
    assert done.stdout.split() == [b"1", b"0"]


def test_programs_of_the_host_see_the_tree_from_outside_and_nothing_else(place: Place) -> None:
    user, folder = place
    secret = folder / "secret"
    secret.write_text("of the host\n")

    def work() -> list[str]:
        root = make_tree(folder / "from-outside")
        sandbox = Sandbox(root, from_host=True, epoch=7)
        script = (
            f"touch {root}/made; test -c {root}/dev/null; test -e {root}/proc/self/status\n"
            f"test -e {secret} && echo saw-it; touch /usr/made 2>/dev/null && echo wrote-it\n"
            "ls -A /home /root /var /etc/shadow 2>/dev/null; cat /proc/net/dev | grep -c :\n"
            f"ls /proc | grep -c '^[0-9]'; touch {root}/run/gone; echo $SOURCE_DATE_EPOCH"
        )
        return inside(sandbox).require(Command(("sh", "-c", script))).stdout.decode().split()

    lines = in_namespace(work, user=user)
    assert lines[0] == "1", "only `lo`, and nothing of the host"
    assert int(lines[1]) < 10
    assert lines[2:] == ["7"]
    assert (folder / "from-outside/made").exists()
    assert not (folder / "from-outside/run/gone").exists()


def test_mounts_are_nobody_elses(place: Place) -> None:
    user, folder = place

    def work() -> bool:
        (folder / "point").mkdir(exist_ok=True)
        mount("tmpfs", folder / "point", "tmpfs")
        return str(folder / "point") in Path("/proc/self/mountinfo").read_text()

    assert in_namespace(work, user=user)
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()


def test_privilege_is_told(place: Place) -> None:
    user, _ = place
    told = in_child(lambda: (enter_namespace(), current()), user=user)
    assert told[0] == told[1]
    assert told[0].unprivileged == (user != "root")


def test_a_user_without_subordinate_ids_is_told_how_to_get_them() -> None:
    with ordinary_user("oven-poor", subids=False) as user, pytest.raises(HostError) as caught:
        in_namespace(lambda: None, user=user)
    assert "/etc/subuid" in caught.value.problem
    assert "usermod --add-subuids" in str(caught.value.hint)
    assert str(caught.value.hint).split(" (")[0].endswith(f" {user}")


def test_a_missing_newuidmap_is_told_with_its_package(tmp_path: Path) -> None:
    def work() -> None:
        os.environ["PATH"] = str(tmp_path)
        enter_namespace()

    with ordinary_user("oven-bare") as user, pytest.raises(HostError) as caught:
        in_child(work, user=user)
    assert "uidmap" in str(caught.value.hint)


def test_namespaces_are_refused_to_a_process_with_threads() -> None:
    script = (
        "import threading\n"
        "from builder.host.kernel.namespaces import enter_namespace\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "enter_namespace()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "before any thread" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "head -c 5M /dev/zero >/fill 2>/dev/null; exit 9",
        "head -c 5M /dev/zero >/fill; rm /fill; seq 1000; exit 9",
    ],
    ids=["silently", "with a line that many follow"],
)
def test_a_program_that_a_full_disk_made_fail_says_so(tmp_path: Path, script: str) -> None:
    def work() -> str | None:
        mount("oven-test", tmp_path, "tmpfs", 0, "size=4M")
        with pytest.raises(StageError) as caught:
            inside(box(tmp_path)).require(Command(("sh", "-c", script)))
        return caught.value.hint

    assert "no space left" in (in_namespace(work, user="root") or "")
