"""The console: typed at and read by several at once, left and ended with the terminal as it was."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.process import guard
from builder.model.errors import ConflictError
from builder.model.progress import Silent
from builder.runtime.access import console
from builder.runtime.lifecycle import control, create
from tests.support.containers.rig import PREAMBLE, SAYS, Rig, add_program
from tests.support.hosts.terminal import Terminal
from tests.support.needs import needs
from tests.support.oven import CHECKOUT

pytestmark = needs("root", "program:runc", "program:conmon")

INIT = f"""\
#!/bin/sh
echo hello
{SAYS}while read line; do
    case "$line" in
        size) stty size ;;
        end) exit 0 ;;
        *) echo "you said: $line" ;;
    esac
done
"""
ATTACH = (
    PREAMBLE
    + """
from builder.cli.terminal.outcome import told
from builder.runtime.access import console
told(lambda: print(console.attach(places, "test")))
"""
)


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    add_program(tree, "stty")
    (tree / "usr/sbin/init").write_text(INIT)
    return tree


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    return rig


def joined(rig: Rig) -> Terminal:
    code = ATTACH.format(home=rig.places.data)
    return Terminal([sys.executable, "-c", code], cwd=CHECKOUT)


@pytest.fixture
def person(rig: Rig) -> Iterator[Terminal]:
    terminal = joined(rig)
    terminal.type(b"one\r")
    terminal.until(b"you said: one")
    yield terminal
    terminal.close()


def test_leaving_restores_the_terminal_and_the_container_goes_on(
    rig: Rig, person: Terminal
) -> None:
    assert not person.restored()
    person.type(b"two\r")
    person.until(b"you said: two")
    person.type(b"thr\x1dignored\r")
    assert person.wait() == 0
    assert b"True" in person.said
    assert person.restored()
    again = joined(rig)
    again.type(b"ee\r")
    again.until(b"you said: three")
    again.close()


def test_two_people_see_the_same(rig: Rig, person: Terminal) -> None:
    other = joined(rig)
    other.type(b"from the other\r")
    other.until(b"you said: from the other")
    person.until(b"you said: from the other")
    other.close()
    person.type(b"alone again\r")
    person.until(b"you said: alone again")


def test_it_is_as_large_as_the_terminal(person: Terminal) -> None:
    person.type(b"size\r")
    person.until(b"24 80")
    person.resize(50, 132)
    for _ in range(200):
        person.type(b"size\r")
        person.until(b"size\r\n")
        if b"50 132" in person.until(b"\r\n"):
            return
    pytest.fail("the console has the old size")


def test_it_ends_with_the_container(rig: Rig, person: Terminal) -> None:
    person.type(b"end\r")
    assert person.wait() == 0
    assert b"False" in person.said
    assert person.restored()
    with pytest.raises(ConflictError, match="is not running"):
        console.attach(rig.places, "test")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_the_terminal_is_restored_after_a_signal(person: Terminal, number: signal.Signals) -> None:
    person.signal(number)
    person.process.wait(timeout=20)
    for _ in range(1000):
        if person.restored():
            return
        select.select([], [], [], 0.01)
    pytest.fail("the terminal is still raw")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_guard_stands_from_its_first_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    """The end of a terminal's session may come before a guard on a busy machine gets anywhere."""
    stand_by, (gate, let_on) = guard._stand_by, os.pipe()
    litter = tmp_path / "litter"
    litter.touch()

    def late(*arguments: object) -> None:
        os.read(gate, 1)
        stand_by(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(guard, "_stand_by", late)
    guarding = guard.Guard((litter,))
    os.kill(guarding._pid, number)
    os.write(let_on, b"!")
    guarding.__exit__(InterruptedError, InterruptedError(), None)
    assert not litter.exists()
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os.close(gate)
    os.close(let_on)


def test_without_a_terminal_it_is_only_shown(rig: Rig, person: Terminal) -> None:
    code = ATTACH.format(home=rig.places.data)
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CHECKOUT
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"not typed\n")
        process.stdin.flush()
        seen = b""
        while b"you said: typed" not in seen:
            person.type(b"typed\r")  # again, since nobody tells when it has joined
            if select.select([process.stdout], [], [], 0.1)[0]:
                seen += os.read(process.stdout.fileno(), 4096)
        person.type(b"end\r")
        seen += process.stdout.read()
        assert b"not typed" not in seen
        assert seen.endswith(b"False\n")
