"""`oven test`: each check of the generic set turns red for what it is about, and no other."""

import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, end, text, wait_for_line
from tests.system.appliances.conftest import APPLIANCE, write
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:runc", "program:conmon")

UNIT = "overlay/etc/systemd/system/notes.service"
PROGRAM = "overlay/usr/bin/notes"
LISTEN = """\
perl -e 'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 8099, Listen => 1);
while ($s->accept) {}' &
"""
SICK = """\
[Service]
ExecStart=/bin/false
[Install]
WantedBy=multi-user.target
"""

Spoil = Callable[[Path], None]


def insert(line: str) -> Spoil:
    """Have the service do something first."""

    def spoil(folder: Path) -> None:
        program = folder / PROGRAM
        program.write_text(program.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{line}\n"))

    return spoil


def sick(folder: Path) -> None:
    (folder / UNIT).with_name("sick.service").write_text(SICK)
    toml = folder / "appliance.toml"
    toml.write_text(toml.read_text().replace("enable = [", 'enable = ["sick.service", '))


def baked(folder: Path) -> None:
    key = folder / "overlay/etc/notes/peers"
    key.parent.mkdir(parents=True)
    key.write_text("neighbor = q9X2mB7vK4tR1zLp\n")
    with (folder / "appliance.toml").open("a") as toml:
        toml.write('[[file]]\npath = "/etc/notes/peers"\nmode = "0600"\n')


def mortal(folder: Path) -> None:
    unit = folder / UNIT
    unit.write_text(unit.read_text().replace("Restart=always\n", ""))


SPOILT: Mapping[str, tuple[Spoil, str, str]] = {
    "failed unit": (sick, "test_no_failed_unit", "sick.service"),
    "open port": (insert(LISTEN), "test_ports", "8099/tcp is open (perl)"),
    "baked secret": (baked, "test_two_instances", "secret words in /etc/notes/peers"),
    "error": (insert("echo broken | systemd-cat -p err"), "test_journal", "broken"),
    "mortal": (mortal, "test_killed", "notes.service"),
    "unit": (
        insert("systemctl disable -q notes.service"),
        "test_units",
        "notes.service is disabled, not enabled",
    ),
    "name": (insert("getent hosts home.example"), "test_nobody_called", "home.example"),
    "address": (
        insert("perl -MIO::Socket::INET -e 'IO::Socket::INET->new(q(192.0.2.1:80))'"),
        "test_nobody_called",
        "to reach beyond its network",
    ),
}
"""How the appliance is spoilt, whose test tells, and what it says."""


@pytest.fixture
def sound(built: Built, disk: Path) -> Path:
    """The folder of an appliance with which all is well."""
    built("debian-bookworm")
    folder = disk / f"sound-{os.urandom(3).hex()}" / "notes"
    write(folder, APPLIANCE.replace('"notes"', '"sound"', 1))
    unit = folder / UNIT
    unit.write_text(unit.read_text().replace("Type=exec\n", "Type=exec\nRestart=always\n"))
    (folder / "tests").mkdir()
    (folder / "tests/answers.toml").write_text('domain = "a.example"\n')
    return folder


def outcome(oven: Oven, folder: Path, *words: str, code: int = 0) -> tuple[set[str], str]:
    """Run the tests; give those that failed, and all that was told."""
    junit = folder / "junit.xml"
    done = oven("test", folder, "--junit", junit, *words, code=code)
    cases = ET.parse(junit).iter("testcase")
    failed = {str(one.get("name")) for one in cases
              if one.find("failure") is not None or one.find("error") is not None}  # fmt: skip
    return failed, text(done.stdout)


@pytest.mark.usefixtures("nothing_left")
def test_all_is_well(oven: Oven, sound: Path) -> None:
    failed, said = outcome(oven, sound)
    assert failed == set(), said
    assert re.search(r"^13 ok in [\d.]+ s$", said, re.MULTILINE), said


@pytest.mark.parametrize(("how", "which"), [("open port", "boot"), ("name", "afterwards")])
def test_a_check_is_red(oven: Oven, sound: Path, how: str, which: str) -> None:
    spoil, test, word = SPOILT[how]
    spoil(sound)
    failed, said = outcome(oven, sound, "-k", which, code=1)
    assert failed == {test}
    assert word in said
    assert "Traceback" not in said
    logs = Path(said.split("said is in ")[1].strip())
    kinds = {path.suffix for path in (logs / test).iterdir()}
    assert kinds == {".txt", ".journal", ".console"}


@pytest.mark.slow
@pytest.mark.parametrize("how", SPOILT)
def test_each_is_red_alone(oven: Oven, sound: Path, how: str) -> None:
    spoil, test, word = SPOILT[how]
    spoil(sound)
    failed, said = outcome(oven, sound, code=1)
    assert failed == {test}, said
    assert word in said


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_it_leaves_nothing(oven: Oven, sound: Path, number: signal.Signals) -> None:
    (sound / "tests/test_own.py").write_text(
        "import sys, time\n"
        "def test_waits(instance):\n"
        "    sys.__stderr__.write('it waits\\n')\n"
        "    time.sleep(600)\n"
    )
    process = oven.start("test", sound, "-s", "-k", "waits")
    wait_for_line(process, "it waits")
    code, said = end(process, number)
    assert (code, "interrupted" in said) == (130, True), said


def test_what_failed_is_kept(oven: Oven, sound: Path) -> None:
    (sound / "tests/test_own.py").write_text(
        "def test_more(instances):\n"
        '    """It has another title. This is not said."""\n'
        "    one = instances(title='Other')\n"
        "    assert 'title = No' in one.exec('cat', '/etc/notes/notes.conf')\n"
    )
    failed, said = outcome(oven, sound, "--keep", "-k", "more", code=1)
    assert failed == {"test_more"}
    assert re.search(r"^  FAILED +[\d.]+ s  It has another title$", said, re.MULTILINE), said
    [name] = re.findall(r"^kept (\S+):", said, re.MULTILINE)
    [network] = re.findall(r"oven network rm (\S+)`", said)
    try:
        assert "Other" in text(oven("exec", name, "--", "cat", "/etc/notes/notes.conf").stdout)
    finally:
        oven("destroy", "--force", name)
        oven("network", "rm", network)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("no-such-appliance",), 7, "there is no appliance"),
        (("debian-bookworm",), 7, "there is no appliance"),
        (("{sound}", "-k", "no_such_test"), 2, "there is no such test"),
        (("{sound}", "--no-such-option"), 2, "--no-such-option"),
    ],
)
def test_what_cannot_be_run_is_told(
    oven: Oven, sound: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in oven.said("test", *(one.format(sound=sound) for one in words), code=code)


def test_without_pytest_it_says_what_to_install(installed: Oven, sound: Path) -> None:
    assert "pip install 'ovenvz[test]'" in installed.said("test", sound, code=3)


def test_what_an_appliances_own_tests_have(oven: Oven, sound: Path) -> None:
    (sound / "tests/test_own.py").write_text("""\
import pytest


@pytest.mark.answers(title="Mine")
def test_own(instance, appliance, rig):
    conf = ("cat", "/etc/notes/notes.conf")
    assert instance.exec(*conf).startswith("title = Mine\\ndomain = a.example\\n")
    assert appliance.answers == {"domain": "a.example"}
    assert instance.facts["network"] == [rig.network]
    assert set(instance.secrets()) == {"db", "token"}
    instance.configure({"title": "Ours"})
    instance.restart()
    assert instance.exec(*conf).startswith("title = Ours\\ndomain = a.example\\n")
    assert instance.exec("sh", "-c", "echo $0; exit 3", code=3)
    assert instance.attempt("cat", stdin=b"x").stdout == b"x"
    assert instance.health() == []
    assert any("notes.service" in line for line in instance.journal())


@pytest.mark.slow
def test_own_slow():
    assert False


@pytest.mark.answers(title="a.example")
def test_own_that_cannot_start(instance):
    assert "a title is more than the domain" in instance.problem
""")
    failed, said = outcome(oven, sound, "--fast", "-k", "own")
    assert "2 ok in" in said
    failed, _ = outcome(oven, sound, "-k", "own_slow", code=1)
    assert failed == {"test_own_slow"}


def test_a_broken_test_is_told_in_a_line(oven: Oven, sound: Path) -> None:
    (sound / "tests/test_own.py").write_text("def test_one(:\n")
    _, said = outcome(oven, sound, "-k", "own", code=1)
    assert "tests/test_own.py cannot be read" in said
    assert "SyntaxError: invalid syntax" in said
    assert "importlib" not in said


@pytest.mark.slow
def test_the_web_server(oven: Oven, built: Built) -> None:
    built("web")
    said = text(oven("test", "web", "--fast").stdout)
    assert re.search(r"^18 ok, 1 skipped in", said, re.MULTILINE), said


def test_answers_that_are_missing_are_told(oven: Oven, sound: Path) -> None:
    (sound / "tests/answers.toml").write_text('title = "x"\n')
    assert "no answer for `domain`" in oven.said("test", sound, code=2)
