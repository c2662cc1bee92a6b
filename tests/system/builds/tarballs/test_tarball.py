"""Templates from somebody's tarball, with files from elsewhere, made with secrets."""

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.support.packages.archive import Fault, Mirror, serve
from tests.support.trees.foreign_trees import root_file_system

pytestmark = [needs("root", "program:busybox", "program:xz", "program:zstd")]

RECIPE = """\
from = "tarball"

[template]
name = "mini"

[tarball.amd64]
"""

SECRET = b"correct horse battery staple\n"


@dataclass(frozen=True)
class Shelf:
    """A project, and a server with files."""

    project: Path
    mirror: Mirror
    files: Path

    def pack(self, root: Path, suffix: str) -> tuple[str, str]:
        """Make a tarball of a folder; give its URL and sha256."""
        option = {"gz": "--gzip", "xz": "--xz", "zst": "--zstd"}[suffix]
        name = f"{root.name}.tar.{suffix}"
        argv = ("tar", option, "--mtime=@1600000000", "--owner=0", "--group=0", "-cf")
        subprocess.run((*argv, self.files / name, "-C", root.parent, root.name), check=True)
        return self.offer(name)

    def offer(self, name: str) -> tuple[str, str]:
        data = (self.files / name).read_bytes()
        return f"{self.mirror.url}/{name}", hashlib.sha256(data).hexdigest()

    def write(self, recipe: str, **scripts: str) -> None:
        folder = self.project / "recipes/mini"
        folder.mkdir(parents=True, exist_ok=True)
        (self.project / "recipes/mini.toml").write_text(recipe)
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "files").mkdir()
    with serve(tmp_path / "files") as mirror:
        yield Shelf(tmp_path, mirror, tmp_path / "files")


@pytest.fixture
def mini(shelf: Shelf, oven: Oven, disk: Path) -> Oven:
    """An `oven` in the project, with a recipe that starts from a tarball on the server."""
    url, sha256 = shelf.pack(root_file_system(shelf.project), "gz")
    shelf.write(f'{RECIPE}url = "{url}"\nsha256 = "{sha256}"\nstrip = 1\n')
    return replace(oven, home=disk / f"home-{shelf.project.name}", cwd=shelf.project)


def tree(oven: Oven) -> Path:
    """Give the newest tree in the cache."""
    folders = (oven.home / "cache/v1/trees").iterdir()
    return max(folders, key=lambda path: path.stat().st_mtime) / "root"


def test_it_is_built_and_runs(mini: Oven) -> None:
    said = mini.said("build", "mini")
    assert "not probed, since it has no init" in said
    done = mini("run", "--rm", "--network", "none", "mini", "--", "/bin/cat", "/etc/os-release")
    assert text(done.stdout) == 'NAME="Mini"\n'
    shown = mini.json("template", "show", "mini")
    assert isinstance(shown, dict)
    assert "mini-1.0.tar.gz" in str(shown)


@pytest.mark.parametrize("suffix", ["xz", "zst"])
def test_other_compressions_and_a_local_file(mini: Oven, shelf: Shelf, suffix: str) -> None:
    first = mini.sha256("mini", "--no-probe")
    _, sha256 = shelf.pack(shelf.project / "mini-1.0", suffix)
    name = f"mini-1.0.tar.{suffix}"
    shutil.move(shelf.files / name, shelf.project / "recipes/mini" / name)
    shelf.write(f'{RECIPE}path = "{name}"\nsha256 = "{sha256}"\nstrip = 1\n')
    assert mini.sha256("mini", "--no-probe") != first  # the manifest names what it was made from
    assert len(list((mini.home / "cache/v1/trees").iterdir())) == 1


def test_another_file_under_that_name(mini: Oven, shelf: Shelf) -> None:
    shelf.mirror.faults["/mini-1.0.tar.gz"] = Fault(body=b"something else", times=9)
    said = mini.said("build", "mini", "--no-probe", code=5)
    assert "is not the file that the recipe means" in said
    assert hashlib.sha256(b"something else").hexdigest() in said
    shelf.mirror.faults.clear()
    mini("build", "mini", "--no-probe")


def test_a_recipe_on_top_of_it(mini: Oven, shelf: Shelf) -> None:
    (shelf.project / "recipes/top.toml").write_text('from = "mini"\n[template]\nname = "top"\n')
    motd = shelf.project / "recipes/top/overlay/etc/motd"
    motd.parent.mkdir(parents=True)
    motd.write_text("hello\n")
    mini("build", "top", "--no-probe")
    assert (tree(mini) / "etc/motd").read_text() == "hello\n"
    with (shelf.project / "recipes/top.toml").open("a") as file:
        file.write('[packages]\ninstall = ["nginx"]\n')
    said = mini.said("build", "top", code=2)
    assert "of which nobody knows the distribution\n  --> recipes/top.toml:5:1" in said


def test_files_from_elsewhere(mini: Oven, shelf: Shelf) -> None:
    (shelf.files / "tool").write_text("#!/bin/sh\necho tool\n")
    (shelf.project / "release/share").mkdir(parents=True)
    (shelf.project / "release/share/data").write_text("data\n")
    tool, tool_hash = shelf.offer("tool")
    archive, archive_hash = shelf.pack(shelf.project / "release", "xz")
    recipe = (shelf.project / "recipes/mini.toml").read_text()
    fetches = (
        f'[[fetch]]\nurl = ["{shelf.mirror.url}/gone", "{tool}"]\nsha256 = "{tool_hash}"\n'
        'path = "/usr/local/bin/tool"\nmode = "0755"\n'
        f'[[fetch]]\nurl = "{archive}"\nsha256 = "{archive_hash}"\n'
        'path = "/opt/release"\nextract = true\nstrip = 1\n'
    )
    shelf.write(recipe + fetches)
    first = mini.sha256("mini", "--no-probe")
    made = tree(mini)
    assert (made / "usr/local/bin/tool").stat().st_mode & 0o7777 == 0o755
    assert (made / "opt/release/share/data").read_text() == "data\n"

    # Where they come from does not matter any more.
    shelf.write(recipe + fetches.replace(tool, f"{shelf.mirror.url}/nowhere"))
    said = mini.said("build", "mini", "--no-probe", "--explain")
    assert "customize mini" in said
    assert "runs" not in next(line for line in said.splitlines() if "customize mini" in line)
    assert first

    wrong = fetches.replace(archive_hash, "0" * 64)
    shelf.write(recipe + wrong)
    said = mini.said("build", "mini", "--no-probe", code=5)
    line = (recipe + wrong).splitlines().index(f'sha256 = "{"0" * 64}"') + 1
    assert f"--> recipes/mini.toml:{line}:10" in said
    assert archive_hash in said


def with_secret(shelf: Shelf, script: str) -> None:
    recipe = (shelf.project / "recipes/mini.toml").read_text()
    more = '[[secret]]\nname = "token"\n[[script]]\npath = "use"\n'
    if "[[secret]]" not in recipe:
        recipe += more
    shelf.write(recipe, use=script)


def test_a_secret_is_seen_by_scripts_only(mini: Oven, shelf: Shelf, tmp_path: Path) -> None:
    with_secret(shelf, "set -e; ls -ln /run/oven/secrets/token >/seen; cat /run/oven/secrets/token")
    said = mini.said("build", "mini", "--no-probe", code=2)
    assert "error: the secret `token` is not given\n" in said
    assert "--> recipes/mini.toml:11:8" in said
    (tmp_path / "token").write_bytes(SECRET)
    given = ("--secret", f"token={tmp_path / 'token'}")
    shown = mini("build", "mini", "--no-probe", "-v", *given)
    assert SECRET.strip() not in shown.stdout + shown.stderr
    assert (tree(mini) / "seen").read_text().startswith("-r--------")
    assert not (tree(mini) / "run/oven").exists()
    # It is no input: what was made with it is there for who does not have it.
    mini("build", "mini", "--no-probe")
    grep = ("grep", "-rlaF", SECRET.decode().strip(), mini.home, shelf.project / "recipes")
    assert subprocess.run(grep, capture_output=True).stdout == b""


@pytest.mark.parametrize(
    "leak",
    [
        "cat /run/oven/secrets/token >/etc/config",
        f"echo x{base64.b64encode(b'id:' + SECRET).decode()}x >/etc/config",
        f"echo {SECRET.strip().hex()} >/etc/config",
        'mkdir "/etc/$(cat /run/oven/secrets/token)"',
    ],
)
def test_a_secret_must_not_stay(mini: Oven, shelf: Shelf, leak: str) -> None:
    with_secret(shelf, leak)
    said = mini.having(TOKEN=SECRET.decode()).said(
        "build", "mini", "--no-probe", "--secret", "token=env:TOKEN", code=6
    )
    assert "a script has left the secret `token` in `/etc/" in said
    assert len(list((mini.home / "cache/v1/trees").iterdir())) == 1


def test_a_failing_script_does_not_tell_it(mini: Oven, shelf: Shelf) -> None:
    with_secret(shelf, "cat /run/oven/secrets/token; exit 3")
    said = mini.having(TOKEN=SECRET.decode()).said(
        "build", "mini", "--no-probe", "--secret", "token=env:TOKEN", code=6
    )
    assert "[secret token]" in said
    assert SECRET.decode().strip() not in said


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("token", "--secret wants NAME=FILE or NAME=env:VARIABLE"),
        ("token=/nowhere", "--secret token: `/nowhere`: no such file or directory"),
        ("token=env:OVEN_NO_SUCH", "--secret token: there is no variable `OVEN_NO_SUCH`"),
        ("token=env:SHORT", "--secret token: shorter than 8 bytes"),
        ("other=env:LONG", "no recipe here has a secret `other`"),
    ],
)
def test_secrets_given_wrongly(mini: Oven, option: str, problem: str) -> None:
    oven = mini.having(SHORT="short", LONG="long enough")
    assert problem in oven.said("build", "mini", "--no-probe", "--secret", option, code=2)
