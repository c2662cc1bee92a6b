"""`oven appliance`: its words as they are typed, and its form on a terminal."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.hosts.terminal import Terminal
from tests.support.oven import Oven

APPLIANCE = """\
from = "debian-bookworm"

[template]
name = "notes"
summary = "A page of notes"

[parameters.domain]
title = "The name under which it is found"
format = "hostname"

[parameters.port]
title = "Where it listens"
default = 80
minimum = 1
maximum = 65535

[parameters.mode]
enum = ["fast", "safe"]

[parameters.tls]
type = "boolean"
title = "Whether it speaks TLS"

[parameters.certificate]
when = "parameters.tls"

[parameters.password]
secret = true
generate = "password"

[secrets.database]
kind = "password"
title = "For the database"

[[port]]
port = 80
"""


@pytest.fixture
def oven(tmp_path: Path) -> Oven:
    folder = tmp_path / "appliances/notes"
    folder.mkdir(parents=True)
    (folder / "appliance.toml").write_text(APPLIANCE)
    return Oven(tmp_path / "home", cwd=tmp_path)


def said(oven: Oven, *arguments: str, code: int = 0) -> str:
    done = oven("appliance", *arguments, code=code)
    return (done.stdout + done.stderr).decode()


def test_show(oven: Oven) -> None:
    lines = [" ".join(line.split()) for line in said(oven, "show", "notes").splitlines()]
    assert "notes: A page of notes" in lines
    assert "domain string required The name under which it is found" in lines
    assert "port integer 80 Where it listens" in lines
    assert "certificate string required when parameters.tls" in lines
    assert "password string a password is made" in lines
    assert "database password For the database" in lines
    facts = json.loads(said(oven, "show", "--json", "notes"))
    assert facts["parameters"]["port"]["default"] == 80


def test_the_schema_is_json_schema(oven: Oven) -> None:
    import jsonschema_rs

    schema = cast("dict[str, Any]", json.loads(said(oven, "schema", "notes")))
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid({"domain": "a.example", "mode": "fast", "tls": True})
    assert not validator.is_valid({"domain": "a.example", "mode": "fast", "tls": True, "x": 1})
    assert not validator.is_valid({"mode": "fast", "tls": True})
    assert schema["properties"]["password"]["writeOnly"] is True


def test_explain_says_who_won(oven: Oven, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('port = 81\nmode = "safe"\npassword = "hunter2"\n')
    oven = oven.having(OVEN_ANSWER_PORT="82", OVEN_ANSWER_TLS="false")
    given = ("--answers", "site.toml", "--set", "mode=fast")
    rows = json.loads(said(oven, "explain", "notes", "--json", *given))
    told = {row["parameter"]: (row["value"], row["from"], row["missing"]) for row in rows}
    assert told == {
        "domain": ("", "nobody", "required"),
        "port": ("81", "site.toml", ""),
        "mode": ("fast", "--set mode", ""),
        "tls": ("false", "OVEN_ANSWER_TLS", ""),
        "certificate": ("", "nobody", ""),
        "password": ("(secret)", "site.toml", ""),
    }


@pytest.mark.parametrize("verb", ["show", "schema", "explain", "ask"])
def test_an_appliance_that_is_not_there(oven: Oven, verb: str) -> None:
    assert "there is no template and no appliance `nots`" in said(oven, verb, "nots", code=7)


def test_without_a_terminal_nothing_is_asked_or_written(oven: Oven, tmp_path: Path) -> None:
    assert "say `--set domain=…`" in said(oven, "ask", "notes", code=2)
    assert not (tmp_path / "answers.toml").exists()


def test_the_form_asks_what_is_required_and_checks_while_one_types(
    oven: Oven, tmp_path: Path
) -> None:
    argv = oven.line("appliance", "ask", "notes", "--set", "port=8080")
    terminal = Terminal([*map(str, argv)], cwd=tmp_path, env=dict(oven.environment))
    try:
        terminal.until(b"The name under which it is found")
        terminal.type(b"-x-\r")
        terminal.until(b"must be a host name")
        terminal.type(b"\x7f\x7f\x7fa.example\r")
        terminal.until(b"mode")
        terminal.type(b"\x1b[B\r")
        terminal.until(b"Whether it speaks TLS")
        terminal.type(b"y")
        terminal.until(b"certificate")
        terminal.type(b"mine\r")
        assert terminal.wait() == 0
        assert terminal.restored()
    finally:
        terminal.close()
    file = tmp_path / "answers.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(file.read_text()) == {
        "domain": "a.example", "port": 8080, "mode": "safe", "tls": True, "certificate": "mine",
    }  # fmt: skip
    done = oven("appliance", "explain", "notes", "--answers", "answers.toml")
    assert b"required" not in done.stdout


def test_ctrl_c_in_the_form_writes_nothing(oven: Oven, tmp_path: Path) -> None:
    argv = oven.line("appliance", "ask", "notes")
    terminal = Terminal([*map(str, argv)], cwd=tmp_path, env=dict(oven.environment))
    try:
        terminal.until(b"The name under which it is found")
        terminal.type(b"\x03")
        assert terminal.wait() == 130
        assert terminal.restored()
    finally:
        terminal.close()
    assert os.listdir(tmp_path) == ["appliances"]


def test_a_secret_on_the_command_line_is_warned_of(oven: Oven, tmp_path: Path) -> None:
    told = oven.said("appliance", "explain", "notes", "--set", "password=hunter2")
    assert "`--set password=…` can be seen by everybody in `ps`" in told
    (tmp_path / "a.toml").write_text('password = "hunter2"\n')
    assert oven.said("appliance", "explain", "notes", "--answers", "a.toml") == ""


def test_a_shell_completes_the_names_of_parameters(oven: Oven) -> None:
    words = "oven appliance explain notes --set po"
    oven = oven.having(_OVEN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="5")
    assert b"plain,port=" in oven("--").stdout
