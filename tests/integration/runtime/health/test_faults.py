"""Faults and probes: each fault turns its own probe red and no other, until it is mended."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from builder.model.health import HealthProbe
from builder.model.interface import Interface
from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import Limits
from tests.support.containers import servers
from tests.support.containers.rig import Rig, rig_in
from tests.support.containers.servers import Server
from tests.support.containers.templates import describe
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = [
    pytest.mark.exhaustive,
    needs("root", "program:runc", "program:conmon", "program:nsenter", "program:mkfs.btrfs"),
]

NAME = "shop.example"
PORTS = {kind: 2000 + index for index, kind in enumerate((*servers.TALKS, "dns"))}
EXTRA: dict[str, dict[str, Any]] = {
    "tls": {"days": 10, "names": (NAME,)},
    "http": {"contains": "well"},
    "smtp": {"starttls": True, "days": 10, "names": (NAME,)},
    "dns": {"query": NAME, "record": "MX"},
}
PROBES = (
    *(
        HealthProbe(
            name=kind, kind=cast("Any", kind), port=port, timeout="1s", level="deep",
            **EXTRA.get(kind, {}),
        )
        for kind, port in PORTS.items()
    ),
    HealthProbe(name="disk", kind="disk", free="20%", level="deep"),
    HealthProbe(name="file", kind="file", path="/backup", age="1h", level="deep"),
    HealthProbe(name="exec", kind="exec", command=("cat", "/works"), contains="yes", level="deep"),
)  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Iterator[Rig]:
    """One container, whose disk is limited, for all tests here."""
    (tree / "works").write_text("yes\n")
    with rig_in(tmp_path_factory.mktemp("health") / "home", tree) as rig:
        describe(rig, interface=Interface(health=PROBES))
        create.create(rig.places, rig.container(limits=Limits(disk=256 << 20)))
        control.start(rig.places, "test", Silent())
        yield rig
    assert rig.leftovers() == []


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> str:
    return servers.certificate(tmp_path_factory.mktemp("pem") / "good.pem", NAME, 20)


@pytest.fixture(scope="module")
def running(rig: Rig, good: str) -> Iterator[dict[str, Server]]:
    pid = pid_of(rig)
    made = {
        kind: servers.server(kind, port, pid, certificate=good if kind in {"tls", "smtp"} else "")
        for kind, port in PORTS.items()
    }
    Oven(rig.places.data)("exec", "test", "--", "touch", "/backup")
    with servers.started(made):
        assert red(Oven(rig.places.data), code=0) == {}
        yield made


@pytest.fixture
def oven(rig: Rig, running: dict[str, Server]) -> Iterator[Oven]:
    """The command, of which each test leaves nothing wrong, as it was at first."""
    oven = Oven(rig.places.data)
    yield oven
    assert red(oven, code=0) == {}


def red(oven: Oven, *, code: int = 1) -> dict[str, str]:
    """Ask all probes, and give why each fails that does."""
    rows = json.loads(oven("health", "test", "--json", code=code).stdout)
    assert len(rows) == len(PROBES)
    return {row["probe"]: row["reason"] for row in rows if not row["healthy"]}


def pid_of(rig: Rig) -> int:
    current = state.read(rig.places, "test")
    assert current
    return current.pid


@pytest.mark.parametrize("kind", PORTS)
def test_a_server_that_is_killed(oven: Oven, running: dict[str, Server], kind: str) -> None:
    running[kind].stop()
    assert red(oven) == {kind: f"port {PORTS[kind]} of 127.0.0.1 is closed"}
    running[kind].start()


# The kernel itself connects to a server that is halted.
@pytest.mark.parametrize("kind", sorted(set(PORTS) - {"tcp"}))
def test_a_server_that_is_halted(oven: Oven, running: dict[str, Server], kind: str) -> None:
    running[kind].signal(signal.SIGSTOP)
    found = red(oven)
    running[kind].signal(signal.SIGCONT)
    assert list(found) == [kind]
    assert found[kind].startswith("gives no answer within 1.0 seconds")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("dns", f"does not know `{NAME}`"),
        ("http", "answers with the status 500"),
        ("imap", "does not answer as IMAP does: `what do you want?`"),
        ("ldap", "refuses everybody: LDAP's result 52"),
        ("lmtp", "does not answer as LMTP does: `what do you want?`"),
        ("mysql", "refuses everybody: `Too many of us`"),
        ("pg", "refuses everybody: `it is starting up`"),
        ("redis", "answers `-LOADING it reads its data`"),
        ("smtp", "does not answer as SMTP does: `what do you want?`"),
        ("tls", "does not speak TLS as it should"),
    ],
)
def test_a_server_that_answers_wrongly(
    rig: Rig, oven: Oven, running: dict[str, Server], kind: str, reason: str
) -> None:
    says = servers.WRONG.get(kind, servers.NONSENSE)
    assert said_of(rig, oven, running, kind, says).startswith(reason)


@pytest.mark.parametrize(
    ("kind", "says", "reason"),
    [
        ("smtp", b"220" + b"x" * 20000, "answers with a line that does not end: `220xxx"),
        ("smtp", b"220-x\r\n" * 2000, "answers with lines that do not end"),
("smtp", b"554 \x1b]0;a\x07\xff\r\n", "answers `554 ?]0;a?ÿ`"),
        ("imap", b"* OK\r\n" * 2000, "answers with lines that do not end"),
        ("http", b"X: y\r\n" * 2000, "does not answer as HTTP does: BadStatusLine"),
        ("http", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000, "does not answer as HTTP does: HTTP"),
        ("pg", b"R\xff\xff\xff\xff", "does not answer as PostgreSQL does"),
        ("mysql", b"\0\0\0\0", "does not answer as MySQL does"),
        ("ldap", b"\x30\x84\xff\xff\xff\xff", "does not answer as LDAP does"),
        ("redis", b"\r\n", "answers nothing"),
    ],
)  # fmt: skip
def test_a_hostile_server(
    rig: Rig, oven: Oven, running: dict[str, Server], kind: str, says: bytes, reason: str
) -> None:
    assert said_of(rig, oven, running, kind, says).startswith(reason)


def said_of(rig: Rig, oven: Oven, running: dict[str, Server], kind: str, says: bytes) -> str:
    """Give what is told of a server that says something else, and of no other."""
    running[kind].stop()
    other = servers.server(kind, PORTS[kind], pid_of(rig), says=says)
    with servers.started({kind: other}):
        found = red(oven)
    running[kind].start()
    assert list(found) == [kind]
    return found[kind].removeprefix(f"port {PORTS[kind]} ")


@pytest.mark.parametrize("kind", ["smtp", "tls"])
@pytest.mark.parametrize(
    ("name", "days", "reason"),
    [
        (NAME, -3, "has a certificate that expired on "),
        (NAME, 5, "has a certificate that is valid for 5 days, not 10"),
        ("other.example", 20, f"has no certificate for `{NAME}`, but for `other.example`"),
    ],
)
def test_a_certificate(
    rig: Rig, oven: Oven, running: dict[str, Server], tmp_path: Path,
    kind: str, name: str, days: int, reason: str,
) -> None:  # fmt: skip
    running[kind].stop()
    pem = servers.certificate(tmp_path / "bad.pem", name, days)
    with servers.started({kind: servers.server(kind, PORTS[kind], pid_of(rig), certificate=pem)}):
        found = red(oven)
    running[kind].start()
    assert list(found) == [kind]
    assert found[kind].startswith(f"port {PORTS[kind]} {reason}")


def test_a_full_disk(rig: Rig, oven: Oven) -> None:
    fill = "dd if=/dev/zero of=/much bs=1M count=400 || true"
    oven("exec", "test", "--", "sh", "-c", fill)
    found = red(oven)
    oven("exec", "test", "--", "rm", "/much")
    # Its blocks are free when the file system has noted it.
    subprocess.run(("sync", "-f", f"/proc/{pid_of(rig)}/root"), check=True)
    assert list(found) == ["disk"]
    assert "are free, not 20%" in found["disk"]


def test_an_old_file(oven: Oven) -> None:
    oven("exec", "test", "--", "touch", "-d", "3 hours ago", "/backup")
    assert red(oven) == {"file": "`/backup` is 3h old, not 1h at most"}
    oven("exec", "test", "--", "rm", "/backup")
    assert red(oven) == {"file": "`/backup` cannot be looked at: No such file or directory"}
    oven("exec", "test", "--", "touch", "/backup")


def test_a_command(oven: Oven) -> None:
    oven("exec", "test", "--", "sh", "-c", "echo no >/works")
    assert red(oven) == {"exec": "`cat` did not print `yes`"}
    oven("exec", "test", "--", "rm", "/works")
    assert red(oven)["exec"].startswith("`cat` ended with 1: cat: /works: No such file")
    oven("exec", "test", "--", "sh", "-c", "echo yes >/works")
