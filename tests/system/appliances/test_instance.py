"""Instances: told what they are asked, given their files and secrets, and changed as they run."""

import re
import signal
import socket
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root", "archive", "program:runc", "program:conmon")


def inside(oven: Oven, name: str, *command: str, code: int = 0) -> str:
    return text(oven("exec", name, "--", *command, code=code).stdout)


def log(oven: Oven, name: str) -> list[str]:
    return inside(oven, name, "cat", "/run/notes.log").split()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--set", "domain=-x-"), "`domain` must be a host name, and this is `-x-`"),
        (("--set", "domian=a.example"), "did you mean `domain`?"),
        (("--set", "token=short"), "--set token=…: `token` must have at least 8 characters"),
        (("--set", "domain=Notes"), "a title is more than the domain"),
        (("--answers", "/nowhere/a.toml"), "this file is not there"),
    ],
)
def test_wrong_answers_start_nothing(notes: Oven, given: tuple[str, ...], said: str) -> None:
    told = notes.said("run", "notes", "--name", "never", "--network", "none", *given, code=2)
    assert said in told
    assert "short" not in told.replace("…", "")
    assert notes.said("show", "never", code=7)


def test_a_template_without_parameters_takes_no_answers(notes: Oven) -> None:
    told = notes.said("create", "never", "debian-bookworm", "--set", "a=b", code=2)
    assert "has no parameters" in told


def test_it_is_given_its_files_and_its_secret(notes: Oven, started: str) -> None:
    conf = inside(notes, started, "cat", "/etc/notes/notes.conf").splitlines()
    assert conf[:2] == ["title = Notes", "domain = a.example"]
    assert re.fullmatch(r"token = [A-Za-z0-9]{24}", conf[2])
    assert conf[3] == f"host = {started}"
    assert (
        inside(notes, started, "stat", "-c", "%U:%G %a", "/etc/notes/notes.conf")
        == "root:adm 640\n"
    )
    assert inside(notes, started, "cat", "/etc/motd") == "{{ as it is }}\n"
    inside(notes, started, "test", "-e", "/etc/notes/extra.conf", code=1)
    assert re.fullmatch(r"[A-Za-z0-9]{24}", inside(notes, started, "cat", "/run/notes.db"))
    inside(
        notes, started, "su", "-s", "/bin/sh", "nobody", "-c", "cat /run/credentials/*/db", code=1
    )


def test_secrets_are_shown_once_and_differ(notes: Oven, fresh_name: str, tmp_path: Path) -> None:
    given = ("--network", "none", "--set", "domain=a.example")
    names = (f"{fresh_name}-a", f"{fresh_name}-b")
    try:
        told = notes.said("create", names[0], "notes", *given)
        shown = dict(re.findall(r"^  (\w+): (\S+)$", told, re.MULTILINE))
        assert set(shown) == {"db", "token"}
        file = tmp_path / "secrets.toml"
        told = notes.said("create", names[1], "notes", *given, "--secrets-file", str(file))
        assert told == ""
        assert file.stat().st_mode & 0o777 == 0o600
        other = dict(re.findall(r'^(\w+) = "(\S+)"$', file.read_text(), re.MULTILINE))
        assert set(other) == set(shown)
        assert not set(shown.values()) & set(other.values())
        told = notes.said("create", "never", "notes", *given, "--secrets-file", str(file), code=2)
        assert "it must be a new file" in told
        assert notes.said("show", "never", code=7)
        folder = notes.home / "containers" / names[0]
        assert (folder / "instance.json").is_file()
        assert folder.stat().st_mode & 0o777 == 0o700
        facts = text(notes("show", "--json", names[0]).stdout) + text(notes("events").stdout)
        assert not [one for one in shown.values() if one in facts]
    finally:
        notes("destroy", *names)


def test_the_same_answers_again_change_nothing(notes: Oven, started: str) -> None:
    assert "nothing changes" in notes.said("configure", started)
    assert "nothing changes" in notes.said("configure", started, "--set", "domain=a.example")
    assert log(notes, started) == ["start"]


def test_a_plan_shows_files_and_units_and_does_nothing(notes: Oven, started: str) -> None:
    plan = text(notes("configure", started, "--set", "title=extra", "--plan").stdout)
    assert "changed /etc/notes/notes.conf" in plan
    assert "-title = Notes\n+title = extra\n" in plan
    assert "new /etc/notes/extra.conf" in plan
    assert plan.endswith("reload notes.service\n")
    plan = text(notes("configure", started, "--set", "token=hunter22hunter", "--plan").stdout)
    assert "hunter" not in plan
    assert plan.endswith("restart notes.service\n")
    assert "title = Notes" in inside(notes, started, "cat", "/etc/notes/notes.conf")
    assert log(notes, started) == ["start"]


def test_a_change_is_tested_and_told(notes: Oven, started: str) -> None:
    notes("configure", started, "--set", "title=extra")
    assert inside(notes, started, "cat", "/run/notes.conf").startswith("title = extra\n")
    assert log(notes, started) == ["start", "reload"]
    assert inside(notes, started, "cat", "/etc/notes/extra.conf") == "extra = 1\n"
    # What was answered before stays answered, and what is no file any more is gone.
    notes("configure", started, "--set", "title=Other")
    inside(notes, started, "test", "-e", "/etc/notes/extra.conf", code=1)
    conf = inside(notes, started, "cat", "/etc/notes/notes.conf")
    assert conf.startswith("title = Other\ndomain = a.example\n")
    notes("restart", started)
    assert inside(notes, started, "cat", "/run/notes.conf") == conf


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("bad", "line 1: a bad title"),
        ("unreloadable", "`notes.service` does not reload"),
    ],
)
def test_what_fails_is_put_back(notes: Oven, started: str, title: str, said: str) -> None:
    before = inside(notes, started, "cat", "/etc/notes/notes.conf")
    told = notes.said("configure", started, "--set", f"title={title}", code=6)
    assert said in told
    assert "all is as it was" in told
    assert inside(notes, started, "cat", "/etc/notes/notes.conf") == before
    assert inside(notes, started, "cat", "/run/notes.conf") == before
    if title == "bad":
        assert log(notes, started) == ["start"]  # nobody has heard of it
    assert "nothing changes" in notes.said("configure", started)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_who_dies_in_the_middle_leaves_what_there_was(
    notes: Oven, started: str, number: signal.Signals
) -> None:
    before = inside(notes, started, "cat", "/etc/notes/notes.conf")
    process = notes.start("configure", started, "--set", "title=wait")
    inside(notes, started, "sh", "-c", "until test -e /run/waits; do sleep 0.05; done")
    process.send_signal(number)
    process.communicate()
    assert "nothing changes" in notes.said("configure", started)
    assert inside(notes, started, "cat", "/etc/notes/notes.conf") == before
    notes("configure", started, "--set", "title=Later")
    assert "title = Later" in inside(notes, started, "cat", "/run/notes.conf")


def test_a_stopped_one_has_it_from_its_next_start_on(notes: Oven, started: str) -> None:
    notes("configure", started, "--set", "title=extra")
    notes("stop", started)
    assert "gone /etc/notes/extra.conf" in text(
        notes("configure", started, "--set", "title=x").stdout
    )
    notes("start", started)
    inside(notes, started, "test", "-e", "/etc/notes/extra.conf", code=1)
    assert "title = x" in inside(notes, started, "cat", "/run/notes.conf")


def test_it_explains_who_gave_what(notes: Oven, started: str) -> None:
    lines = text(notes("appliance", "explain", started, "--set", "title=x").stdout).splitlines()
    rows = [re.split(r" {2,}", line.strip()) for line in lines]
    assert sorted(rows) == [
        ["domain", "a.example", "what was answered before"],
        ["engine", "a", "the default"],
        ["title", "x", "--set title"],
        ["token", "made for this instance"],
    ]


def test_what_cannot_change_is_refused_with_the_reason(notes: Oven, started: str) -> None:
    told = notes.said("configure", started, "--set", "engine=b", code=2)
    assert "`engine` cannot be changed: the notes are kept in its form" in told
    assert "nothing changes" in notes.said("configure", started, "--set", "engine=a")


def test_secrets_are_made_anew(notes: Oven, started: str) -> None:
    before = inside(notes, started, "cat", "/run/notes.db")
    told = notes.said("appliance", "rotate", started, "db")
    shown = re.findall(r"^  (\w+): (\S+)$", told, re.MULTILINE)
    now = inside(notes, started, "cat", "/run/notes.db")
    assert shown == [("db", now)]
    assert now != before
    assert log(notes, started) == ["start", "start"]
    # No secret is made anew that nobody could be shown.
    taken = notes.home / "taken"
    taken.touch()
    told = notes.said("appliance", "rotate", started, "--secrets-file", str(taken), code=2)
    assert "it must be a new file" in told
    assert inside(notes, started, "cat", "/run/notes.db") == now
    taken.unlink()
    told = notes.said("create", started, "notes", "--secrets-file", str(taken), code=7)
    assert not taken.exists()
    assert "shown" not in notes.said("create", started, "notes", code=7)
    assert "its secrets are: `db`" in notes.said("appliance", "rotate", started, "bd", code=7)


def test_a_clone_has_the_answers_and_secrets_of_its_own(notes: Oven, started: str) -> None:
    notes("configure", started, "--set", "title=extra")
    copy = f"{started}-copy"
    told = notes.said("clone", started, copy)
    try:
        shown = dict(re.findall(r"^  (\w+): (\S+)$", told, re.MULTILINE))
        assert set(shown) == {"db", "token"}
        notes("start", copy)
        conf = inside(notes, copy, "cat", "/etc/notes/notes.conf").splitlines()
        assert conf[:2] == ["title = extra", "domain = a.example"]
        assert conf[2:] == [f"token = {shown['token']}", f"host = {copy}"]
        assert inside(notes, copy, "cat", "/run/notes.db") == shown["db"]
        assert inside(notes, started, "cat", "/run/notes.db") != shown["db"]
        assert "nothing changes" in notes.said("configure", copy)
    finally:
        notes("destroy", "--force", copy)


def test_without_what_it_requires_it_has_no_files(notes: Oven, fresh_name: str) -> None:
    told = notes.said("run", "notes", "--name", fresh_name, "--network", "none")
    try:
        assert "it serves nobody before `domain` is answered: Where it is found" in told
        inside(notes, fresh_name, "test", "-e", "/etc/notes/notes.conf", code=1)
        assert "waits for answers" in text(notes("list").stdout)
        shown = text(notes("show", fresh_name).stdout)
        assert re.search(r"^unanswered +domain$", shown, re.MULTILINE)
        notes("configure", fresh_name, "--set", "domain=b.example")
        assert "domain = b.example" in inside(notes, fresh_name, "cat", "/etc/notes/notes.conf")
        assert "unanswered" not in text(notes("show", fresh_name).stdout)
    finally:
        notes("destroy", "--force", fresh_name)


def test_nobody_reaches_one_that_waits(notes: Oven, fresh_name: str, port: int) -> None:
    notes("run", "notes", "--name", fresh_name, "-p", f"127.0.0.1:{port}:80")
    try:
        perl = (  # it listens before it forks, so that nobody comes too early
            "use IO::Socket::INET;"
            " my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1);"
            " fork and exit; open STDOUT, '>/dev/null'; close STDIN;"
            " while (my $c = $s->accept) { print $c 'hello'; close $c }"
        )
        notes("exec", fresh_name, "--", "perl", "-e", perl)
        assert not reached(port)
        notes("configure", fresh_name, "--set", "domain=b.example")
        assert reached(port)
        notes("restart", fresh_name)
        notes("exec", fresh_name, "--", "perl", "-e", perl)
        assert reached(port)
    finally:
        notes("destroy", "--force", fresh_name)


def reached(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(5) == b"hello"
    except OSError:
        return False


def test_only_instances_are_configured(notes: Oven, fresh_name: str) -> None:
    notes("create", fresh_name, "debian-bookworm", "--network", "none")
    try:
        assert "is of no appliance" in notes.said("configure", fresh_name, code=2)
    finally:
        notes("destroy", fresh_name)
    assert "there is no container" in notes.said("configure", fresh_name, code=7)


def test_a_single_command_has_no_answers(notes: Oven) -> None:
    said = notes.said("run", "--rm", "notes", "--set", "title=x", "--", "true", code=2)
    assert "a single command is no instance" in said
