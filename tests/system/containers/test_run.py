"""Running: a container boots, answers, obeys, and leaves nothing behind."""

import json
import os
import pty
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import Oven, end, text, wait_for_line
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:conmon", "program:runc")


@pytest.fixture
def bookworm(oven: Oven, built: Built) -> Oven:
    built("debian-bookworm")
    return oven


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture(scope="module")
def web(oven: Oven, built: Built, port: int) -> Iterator[str]:
    """The web appliance, running; its port 80 is published."""
    built("web")
    name = f"t-web-{os.getpid()}"
    before = Traces.of(oven.home)
    oven("run", "web", "--name", name, "-p", f"{port}:80")
    yield name
    oven("destroy", "--force", "--volumes", name)
    assert left_over(oven.home, before) == {}


def shown(oven: Oven, name: str) -> dict[str, object]:
    value = oven.json("show", name)
    assert isinstance(value, dict)
    return value


def page(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as reply:
        return text(reply.read())


def test_web_answers_on_loopback_and_on_its_address(oven: Oven, web: str, port: int) -> None:
    facts = shown(oven, web)
    assert facts["status"] == "running"
    for url in (f"http://127.0.0.1:{port}/", f"http://{facts['address']}/"):
        assert "Fresh from the oven" in page(url)


def test_nothing_has_failed_inside(oven: Oven, web: str) -> None:
    assert text(oven("exec", web, "--", "systemctl", "is-system-running").stdout) == "running\n"
    failed = oven("exec", web, "--", "systemctl", "--failed", "--plain", "--no-legend")
    assert failed.stdout == b""


def test_the_container_has_namespaces_and_ids_of_its_own(oven: Oven, web: str) -> None:
    facts = shown(oven, web)
    pid = facts["pid"]
    for kind in ("user", "pid", "mnt", "ipc", "uts", "net", "cgroup"):
        theirs, ours = (Path("/proc", one, "ns", kind).readlink() for one in (f"{pid}", "self"))
        assert theirs != ours
    inside = text(oven("exec", web, "--", "cat", "/proc/self/uid_map").stdout).split()
    assert inside == ["0", str(facts["first-id"]), "65536"]
    kind = text(oven("exec", web, "--", "stat", "-fc", "%T", "/sys/fs/cgroup").stdout)
    assert kind == "cgroup2fs\n"


def test_list_and_logs(oven: Oven, web: str) -> None:
    assert web in text(oven("list").stdout)
    rows = oven.json("list")
    assert isinstance(rows, list)
    assert web in [row["name"] for row in rows]
    assert "Reached target" in text(oven("logs", web).stdout)


@pytest.mark.parametrize("code", [0, 7, 255])
def test_exec_passes_the_status_on(oven: Oven, web: str, code: int) -> None:
    oven("exec", web, "--", "sh", "-c", f"exit {code}", code=code)


def test_exec_names_what_is_not_there(oven: Oven, web: str) -> None:
    oven("exec", web, "--", "no-such-program", code=127)
    oven("exec", web, "--", "/etc/passwd", code=126)
    oven("exec", "no-such-container", "--", "true", code=125)


def test_exec_works_in_pipes(oven: Oven, web: str) -> None:
    data = os.urandom(3_000_000)
    assert oven("exec", web, "--", "cat", stdin=data).stdout == data


def test_enter_gives_a_shell_on_a_terminal(oven: Oven, web: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        oven.line("enter", web), stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=oven.cwd, env=oven.environment, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"tty; hostname; exit 5\n")
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:
        pass  # EIO: the other end of a terminal has gone
    os.close(ours)
    assert process.wait(timeout=30) == 5, said
    assert b"/dev/pts/" in said
    assert web.encode() in said


def test_stop_start_and_what_was_written_stays(oven: Oven, web: str, port: int) -> None:
    oven("exec", web, "--", "sh", "-c", "echo still here >/usr/share/web/welcome/kept")
    oven("stop", web)
    assert shown(oven, web)["status"] == "stopped"
    with pytest.raises(OSError, match=r"refused|timed out|unreachable|reset"):
        page(f"http://127.0.0.1:{port}/kept")
    oven("start", web)
    assert page(f"http://127.0.0.1:{port}/kept") == "still here\n"


def test_a_running_container_is_not_destroyed_unasked(oven: Oven, web: str) -> None:
    oven("destroy", web, code=7)
    assert shown(oven, web)["status"] == "running"


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -TERM $$; sleep 9"), 143),
        (("no-such-program",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_run_passes_the_status_on(bookworm: Oven, argv: tuple[str, ...], code: int) -> None:
    if argv[-1].startswith("kill"):
        # A shell as the first process is immune to its own signals; a second one is not.
        argv = ("sh", "-c", f"sh -c '{argv[-1]}'; exit $?")
    bookworm("run", "--rm", "--network", "none", "debian-bookworm", "--", *argv, code=code)


@pytest.mark.usefixtures("nothing_left")
def test_run_works_in_pipes(bookworm: Oven) -> None:
    run = ("run", "--rm", "--network", "none", "debian-bookworm", "--")
    data = os.urandom(3_000_000)
    assert bookworm(*run, "cat", stdin=data).stdout == data
    done = bookworm(*run, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.mark.usefixtures("nothing_left")
def test_run_has_a_network_when_asked_for(bookworm: Oven) -> None:
    done = bookworm("run", "--rm", "debian-bookworm", "--", "ip", "-json", "route")
    assert "default" in [route["dst"] for route in json.loads(done.stdout)]


def test_run_of_an_unknown_template_is_ovens_own_failure(bookworm: Oven) -> None:
    said = bookworm.said("run", "--rm", "debian-bokworm", "--", "true", code=125)
    assert "debian-bookworm" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("nothing_left")
def test_a_signal_ends_the_command_and_all_around_it(
    bookworm: Oven, number: signal.Signals
) -> None:
    process = bookworm.start("run", "debian-bookworm", "--", "sh", "-c", "echo up; sleep 600")
    wait_for_line(process, "up")
    code, _ = end(process, number)
    # The first process of a container is immune to a signal that it does not handle, so that
    # Oven has to use the one that nobody is immune to (pid_namespaces(7)).
    assert code in {128 + number, 128 + signal.SIGKILL}


def test_limits_are_seen_inside(bookworm: Oven, fresh_name: str) -> None:
    bookworm("run", "debian-bookworm", "--name", fresh_name, "--pids", "77", "--network", "none")
    try:
        script = "i=0; while [ $i -lt 90 ]; do sleep 5 & i=$((i+1)); done"
        done = bookworm("exec", fresh_name, "--", "sh", "-c", script, code=2)
        assert b"Cannot fork" in done.stderr
    finally:
        bookworm("destroy", "--force", fresh_name)


def test_trixie_boots_with_no_failed_unit(oven: Oven, built: Built) -> None:
    built("debian-trixie")  # the build's last stage boots it, and refuses it when a unit fails
    assert "debian-trixie" in text(oven("template", "list").stdout)


@pytest.fixture
def strict(bookworm: Oven, fresh_name: str) -> Iterator[Oven]:
    """The command as run by somebody whose files nobody else may read, with one container."""
    oven = replace(bookworm, argv=("sh", "-c", 'umask 077; exec "$@"', "sh", *bookworm.argv))
    oven("run", "debian-bookworm", "--name", fresh_name, "--network", "none")
    yield oven
    oven("destroy", "--force", fresh_name)


def test_the_umask_of_who_starts_it_is_not_the_containers(strict: Oven, fresh_name: str) -> None:
    state = strict("exec", fresh_name, "--", "systemctl", "is-system-running")
    assert state.stdout == b"running\n"
    script = "umask; cat /run/host/container-manager /etc/hostname"
    said = strict("exec", "-u", "nobody", fresh_name, "--", "sh", "-c", script).stdout
    assert text(said).split() == ["0022", "oven", fresh_name]
    strict("run", "--network", "none", "debian-bookworm", "--", "test", "-r", "/etc/hosts")


def test_the_journal_takes_little_memory(strict: Oven, fresh_name: str) -> None:
    header = text(strict("exec", fresh_name, "--", "journalctl", "--header").stdout)
    [size] = [line for line in header.splitlines() if line.startswith("Data hash table size")]
    assert int(size.split()[-1]) < 20_000, "233016 by default, of 16 bytes each"


def test_apt_inside_installs_from_the_archive(bookworm: Oven) -> None:
    """Name servers, the way out, and the sources that a template carries."""
    script = "apt-get -qq update && apt-get -qq install hello >/dev/null 2>&1 && hello"
    done = bookworm("run", "--rm", "debian-bookworm", "--", "sh", "-c", script)
    assert text(done.stdout) == "Hello, world!\n"
