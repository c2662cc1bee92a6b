"""First-boot data in real guests: a person logs in with a key, and with a password."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.hosts.terminal import Terminal
from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven, text
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:conmon", "program:runc", "program:ssh")

RECIPE = """
from = "debian-bookworm"

[template]
name = "with-ssh"

[packages]
install = ["openssh-server"]
"""


@dataclass(frozen=True)
class Guest:
    oven: Oven
    name: str
    address: str
    key: Path

    def ssh(self, user: str, command: str) -> "subprocess.CompletedProcess[bytes]":
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
        words = [word for option in options for word in ("-o", option)]
        argv = ["ssh", "-q", "-F", "none", "-i", str(self.key), *words]
        return subprocess.run(
            [*argv, f"{user}@{self.address}", command], capture_output=True, timeout=60
        )


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def guest(
    oven: Oven, built: Built, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    built("debian-bookworm")
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "with-ssh.toml").write_text(RECIPE)
    (folder / "debian-bookworm.toml").write_text(
        (CHECKOUT / "recipes/debian-bookworm.toml").read_text()
    )
    oven("build", "--no-probe", folder / "with-ssh.toml")
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=b"Tr0ub4dor", capture_output=True, check=True
    )
    (folder / "hash").write_bytes(hashed.stdout)
    name = "t-first-boot"
    run = ("run", "with-ssh", "--name", name, "--root-password-file", folder / "hash")
    more = ("--ssh-key", f"{key}.pub", "--add-user", f"ann:sudo,ssh-key={key}.pub")
    printed = oven(*run, *more, "--timezone", "Etc/UTC", "--hostname", "web1.example")
    yield Guest(oven, name, text(printed.stdout).split()[1], key)
    oven("destroy", "--force", name)


@pytest.mark.parametrize("user", ["root", "ann"])
def test_the_key_opens_the_door(guest: Guest, user: str) -> None:
    done = guest.ssh(user, "whoami; hostname")
    assert text(done.stdout) == f"{user}\nweb1.example\n", done.stderr


def test_another_key_does_not(guest: Guest, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    assert replace(guest, key=other).ssh("root", "true").returncode == 255


def test_the_password_works_at_the_login_prompt_of_the_console(guest: Guest) -> None:
    terminal = Terminal(
        guest.oven.line("console", guest.name), cwd=guest.oven.cwd, env=guest.oven.environment
    )
    try:
        terminal.until(b"Ctrl-] leaves")
        terminal.type(b"\r")
        terminal.until(b"login:")
        terminal.type(b"root\r")
        terminal.until(b"assword:")
        terminal.type(b"Tr0ub4dor\r")
        terminal.until(b"# ")
        terminal.type(b"whoa''mi\r")
        terminal.until(b"root\r\n")
        terminal.type(b"exit\r")  # which takes with it what nobody has read yet
        terminal.until(b"login:")
        terminal.type(b"\x1d")
        assert terminal.wait() == 0
        assert terminal.restored()
    finally:
        terminal.close()


def test_nothing_has_failed_and_nothing_is_left(guest: Guest) -> None:
    failed = guest.oven("exec", guest.name, "--", "systemctl", "--failed", "--no-legend")
    assert failed.stdout == b""
    shown = guest.oven("exec", guest.name, "--", "ls", "/run/host/credentials")
    assert shown.stdout == b""
    for tool in ("pwck", "grpck"):
        done = guest.oven("exec", guest.name, "--", "sh", "-c", f"{tool} -r; echo $?")
        assert b"invalid" not in done.stdout
        assert b"no matching" not in done.stdout
    assert list((guest.oven.home / "containers" / guest.name).glob("first-boot*")) == []
