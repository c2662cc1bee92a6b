"""First-boot data: what is taken and what is refused, and that no message quotes a secret."""

import io
from pathlib import Path

import pytest

from builder.cli.containers.options.first_boot import data_of
from builder.cli.terminal.report import render
from builder.model.errors import OvenError, RecipeError
from builder.model.first_boot import check_hash, check_key
from builder.recipes.first_boot import read
from tests.support.containers.logins import BLOB, HASH, KEY

SECRET = "hunter2-hunter2"

WHOLE = f"""
hostname = "web1"
timezone = "Europe/Amsterdam"
locale = "nl_NL.UTF-8"

[root]
password-hash = "{HASH}"
ssh-keys = ["{KEY}"]

[[user]]
name = "ann"
groups = ["sudo"]
ssh-keys = ["{KEY}"]

[[file]]
path = "/etc/motd"
content = "hello"

[[file]]
path = "/etc/blob"
source = "blob"
mode = "0600"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "blob").write_bytes(b"\0\xff")
    return tmp_path / "first.toml"


def test_a_whole_file(file: Path) -> None:
    file.write_text(WHOLE)
    data = read(file)
    assert data.root.password_hash == HASH
    assert data.user[0].groups == ("sudo",)
    assert [one.data for one in data.file] == [b"hello", b"\0\xff"]


@pytest.mark.parametrize(
    "text",
    [
        f'[root]\npassword-hash = "{SECRET}"',
        f'[root]\npassword-hash = "$1$salt$" "{SECRET}"',
        f'[root]\npassword-hash = ["{SECRET}"]',
        f'[root]\npasword-hash = "{SECRET}"',
        f'[root]\nssh-keys = ["{SECRET}"]',
        f'[[user]]\nname = "ann"\npassword-hash = "{SECRET}"',
        f'[[file]]\npath = "/x"\ncontent = "{SECRET}"\nsource = "y"',
        f'[[file]]\npath = "../x"\ncontent = "{SECRET}"',
        f'password = "{SECRET}"',
    ],
)
def test_a_mistake_is_placed_and_quotes_no_secret(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read(file)
    shown = render(caught.value)
    assert SECRET not in shown
    assert "first.toml:" in shown


@pytest.mark.parametrize("bad", ["", "plain", "$1$abc$defghijk", "abJnggxhB/yWI", f"{HASH}\n", "!"])
def test_hashes_that_are_none(bad: str) -> None:
    with pytest.raises(RecipeError, match="not the hash"):
        check_hash(bad)


@pytest.mark.parametrize(
    "line", [KEY, f'restrict,command="echo \\"a b\\"" {KEY}', f"ssh-ed25519 {BLOB}"]
)
def test_keys(line: str) -> None:
    assert check_key(line) == line


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ssh-ed25519",
        f"ssh-ed25519 {BLOB[:-3]}",
        f"ssh-rsa {BLOB}",
        f"ssh-dss {BLOB}",
        f"{KEY}\nssh-ed25519 {BLOB}",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_keys_that_are_none(bad: str) -> None:
    with pytest.raises(RecipeError, match=r"no public key|private key"):
        check_key(bad)


def test_options_win_over_the_file(file: Path) -> None:
    file.write_text(WHOLE)
    key = file.with_name("id.pub")
    key.write_text(f"# mine\n{KEY}2\n")
    data = data_of(
        {
            "first_boot": str(file),
            "timezone": "Etc/UTC",
            "hostname": None,
            "ssh_key": (f"bob:{key}", str(key)),
            "add_user": (f"ann:adm:sudo,uid=1005,ssh-key={key}",),
            "file": (f"{file.parent / 'blob'}:/opt/blob:600",),
        }
    )
    assert data is not None
    assert (data.hostname, data.timezone) == ("web1", "Etc/UTC")
    assert data.root.ssh_keys == (KEY, f"{KEY}2")
    assert [(user.name, user.uid, user.groups) for user in data.user] == [
        ("ann", 1005, ("adm", "sudo")),
        ("bob", None, ()),
    ]
    assert (data.file[-1].path, data.file[-1].mode) == ("/opt/blob", "0600")


@pytest.mark.parametrize(
    "given",
    [
        {"root_password_hash": SECRET},
        {"add_user": (f"ann,password={SECRET}",)},
        {"add_user": ("Ann",)},
        {"add_user": ("ann,uid=0",)},
        {"timezone": "../../etc/passwd"},
        {"hostname": "-x"},
        {"file": ("relative:path",)},
        {"file": ("/absent:/x",)},
        {"ssh_key": ("/absent",)},
        {"root_password_hash": HASH},
        {"root_password_file": "/absent"},
    ],
)
def test_options_that_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(OvenError) as caught:
        data_of(given)
    if "add_user" not in given:
        assert SECRET not in render(caught.value)


def test_no_hash_is_taken_where_ps_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """From standard input it is."""
    with pytest.raises(RecipeError, match="would see it in `ps`") as caught:
        data_of({"root_password_hash": HASH})
    assert HASH not in render(caught.value)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{HASH}\n"))
    data = data_of({"root_password_file": "-"})
    assert data is not None
    assert data.root.password_hash == HASH
