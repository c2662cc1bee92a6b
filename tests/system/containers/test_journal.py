"""The journal of a real guest, while it runs and once it is stopped."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:conmon", "program:runc", "program:bwrap")

SAY = r"printf 'plain \033[31mred\033]0;title\007 end' | systemd-cat -t said"


@pytest.fixture
def guest(oven: Oven, built: Built, fresh_name: str) -> Iterator[str]:
    built("debian-bookworm")
    oven("run", "debian-bookworm", "--name", fresh_name, "--network", "none")
    yield fresh_name
    oven("destroy", "--force", fresh_name)


def test_running_and_stopped(oven: Oven, guest: str) -> None:
    assert "Reached target" in text(oven("logs", "--journal", guest).stdout)
    oven("exec", guest, "--", "sh", "-c", f"{SAY}; journalctl --sync")
    for _ in ("running", "stopped"):
        said = text(oven("logs", "-j", "--since", "10m", guest).stdout)
        assert "said[" in said
        assert "plain red end" in said
        assert "\x1b" not in said
        assert len(oven("logs", "-j", "-n", "2", guest).stdout.splitlines()) == 2
        unit = text(oven("logs", "-u", "systemd-journald.service", guest).stdout)
        assert "systemd-journald" in unit
        assert "said[" not in unit
        oven("stop", guest)
    (journal,) = (oven.home / "containers" / guest / "upper/var/log/journal").glob(
        "*/system.journal"
    )
    journal.write_bytes(journal.read_bytes()[:5000] + bytes(100_000))
    done = subprocess.run(
        oven.line("logs", "-j", guest), capture_output=True, env=oven.environment, cwd=oven.cwd
    )
    assert b"Traceback" not in done.stderr
    assert b"bug" not in done.stderr


def test_a_stopped_one_without_a_journal_says_so(oven: Oven, guest: str) -> None:
    oven("exec", guest, "--", "rm", "-r", "/var/log/journal")
    oven("stop", guest)
    assert "keeps no journal on its disk" in oven.said("logs", "-j", guest, code=7)


def test_following_ends_with_the_reader(oven: Oven, guest: str) -> None:
    process = oven.start("logs", "-j", "-f", "-n", "1", guest)
    assert process.stdout is not None
    assert process.stdout.readline()
    oven("exec", guest, "--", "sh", "-c", SAY)
    assert "said" in text(process.stdout.readline())
    process.kill()
    process.communicate(timeout=30)
    # The one inside ends too; nothing else there is called so.
    oven("exec", guest, "--", "sh", "-c", "while pidof journalctl; do sleep 0.05; done")
