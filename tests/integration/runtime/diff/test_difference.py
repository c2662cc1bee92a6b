"""What was changed in a container: told from its layers alone, and turned into an overlay."""

import hashlib
import os
import stat
import tomllib
from pathlib import Path

import pytest

from builder.distros.identity import forget_identity
from builder.distros.package_manager import NoPackages
from builder.model.errors import ConflictError, StageError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.diff import as_overlay, difference
from builder.runtime.diff.ignored import ignored_paths, matches
from builder.runtime.history import clone, snapshots
from builder.runtime.history.clone import CloneRequest
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import all_names, load
from tests.support.containers.rig import Rig
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon")

STATUS = """\
Package: {name}
Status: install ok installed
Architecture: amd64
Version: {version}
"""


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    (tree / "etc/app").mkdir()
    (tree / "etc/app/one").write_text("1\n")
    (tree / "etc/app/two").write_text("2\n")
    (tree / "var/lib/dpkg/info").mkdir(parents=True)
    (tree / "var/lib/dpkg/status").write_text(STATUS.format(name="there", version="1"))
    return tree


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    return rig


def upper(rig: Rig) -> Path:
    return rig.places.data / "containers/test/upper"


def rows(rig: Rig, *, everything: bool = False) -> dict[str, difference.DiffRow]:
    with difference.opened(rig.places, "test") as (container, layers):
        found = list(difference.differences(layers, container, everything=everything))
    return {one.row.path: one.row for one in found}


def told(rig: Rig) -> dict[str, str]:
    return {path: f"{row.what} {' '.join(row.of)}".strip() for path, row in rows(rig).items()}


def test_a_container_that_has_only_run_has_no_difference(rig: Rig) -> None:
    control.start(rig.places, "test", Silent())
    assert rows(rig) == {}
    assert rows(rig, everything=True) != {}


def test_what_changed_is_told_also_while_it_runs(rig: Rig) -> None:
    control.start(rig.places, "test", Silent())
    script = "echo 3 > /etc/app/one; echo new > /etc/new; touch /etc/passwd; echo log > /tmp/x"
    assert capture(rig.places, "test", ("sh", "-c", script))[0] == 0
    assert told(rig) == {"etc/app/one": "changed content", "etc/new": "added"}
    snapshots.create(rig.places, "test", "one")
    control.stop(rig.places, "test", timeout=20)
    snapshots.create(rig.places, "test", "two")
    assert told(rig) == {"etc/app/one": "changed content", "etc/new": "added"}


def test_every_way_to_differ(rig: Rig, tree: Path) -> None:
    top = upper(rig)
    (top / "etc").mkdir()
    os.mknod(top / "etc/group", stat.S_IFCHR)
    (top / "etc/passwd").write_bytes((tree / "etc/passwd").read_bytes())
    (top / "etc/passwd").chmod(0o600)
    os.chown(top / "etc/passwd", 5, 6)
    (top / "usr/bin").mkdir(parents=True)
    (top / "usr/bin/sh").symlink_to("other")
    (top / "etc/app").mkdir()
    os.setxattr(top / "etc/app", "trusted.overlay.opaque", b"y")
    (top / "etc/app/two").write_text("2\n")
    (top / "usr/bin/cat").mkdir()
    (top / "usr/bin/cat/inner").write_text("")
    os.setxattr(top / "usr", "user.note", b"x")
    assert told(rig) == {
        "etc/group": "deleted",
        "etc/passwd": "changed mode owner",
        "etc/app/one": "deleted",
        "usr": "changed attributes",
        "usr/bin/sh": "changed target",
        "usr/bin/cat": "changed kind",
        "usr/bin/cat/inner": "added",
    }


def test_it_is_what_the_kernel_shows(rig: Rig, tree: Path, tmp_path: Path) -> None:
    """Compare with a mount of the same layers: three of them, with all that can hide."""
    for number in range(3):
        top = upper(rig)
        (top / "etc/app").mkdir(parents=True, exist_ok=True)
        (top / f"etc/app/f{number}").write_text(f"{number}\n")
        if number == 1:
            os.setxattr(top / "etc/app", "trusted.overlay.opaque", b"y")
            os.mknod(top / "tmp", stat.S_IFCHR)
        if number == 2:
            os.mknod(top / "etc/app/f1", stat.S_IFCHR)
            (top / "tmp").mkdir()
            (top / "tmp/new").write_text("")
        snapshots.create(rig.places, "test", f"s{number}")
    from builder.runtime.storage.merged import merged

    area = rig.places.data / "containers/test"
    with merged(rig.places, load(rig.places, "test"), area) as view:
        shown = {path for path, _ in view.walk("etc")} | {path for path, _ in view.walk("tmp")}
    with difference.opened(rig.places, "test") as (_, layers):
        pairs = {pair.path: pair for pair in layers.touched()}
    assert {p for p, pair in pairs.items() if pair.seen is not None and p != "etc"} - {
        "tmp"
    } == shown & pairs.keys()
    assert "etc/app/f0" not in pairs, "neither the template has it nor is it seen"
    assert pairs["etc/app/one"].seen is None
    assert {"etc/app/f2", "tmp/new"} <= shown


def test_links_are_never_entered(rig: Rig, tmp_path: Path) -> None:
    """A link in place of a folder leads into the host for whoever follows it."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").write_text("secret")
    for path in ("etc", "var"):
        (upper(rig) / path).symlink_to(tmp_path / "host")
    assert told(rig) == {"etc": "changed kind", "var": "changed kind"}
    with difference.opened(rig.places, "test") as (container, layers):
        assert layers.find("etc/secret") is None
        written = as_overlay.write(layers, container, tmp_path / "out")
    assert sorted(written.files) == ["etc", "var"]
    with pytest.raises(StageError, match="cannot be given an identity"):
        clone.clone(rig.places, "test", CloneRequest("new"), forget_identity)
    assert all_names(rig.places) == ["test"]
    assert [path.name for path in (tmp_path / "host").iterdir()] == ["secret"]


@pytest.mark.parametrize(
    ("path", "noise"),
    [
        ("var/log/a/b", True),
        ("var/log", False),
        ("etc/ssh/ssh_host_rsa_key", True),
        ("etc/ssh/sshd_config", False),
        ("usr/lib/python3/__pycache__/x.pyc", True),
        ("root/.bash_history", True),
        ("root/a/.x_history", False),
        ("run/x", True),
        ("srv/run/x", False),
    ],
)
def test_noise(path: str, noise: bool) -> None:
    assert matches(path, ignored_paths(NoPackages())) is noise


def test_an_overlay_of_what_was_done_by_hand(rig: Rig, tmp_path: Path) -> None:
    top = upper(rig)
    for folder in ("etc/ssh", "etc/hello", "usr/bin", "var/lib/dpkg/info", "var/lib/apt", "opt"):
        (top / folder).mkdir(parents=True)
    own, changed = b"as shipped\n", b"changed\n"
    status = STATUS.format(name="there", version="1") + "\n"
    digest = hashlib.md5(own, usedforsecurity=False).hexdigest()
    conffiles = f"Conffiles:\n /etc/hello/a {digest}\n /etc/hello/b {digest}\n"
    status += STATUS.format(name="hello", version="2") + conffiles + "\n"
    status += STATUS.format(name="libhello", version="2")
    (top / "var/lib/dpkg/status").write_text(status)
    listed = "/.\n/usr/bin/hello\n/etc/hello\n/etc/hello/a\n/etc/hello/b\n"
    (top / "var/lib/dpkg/info/hello.list").write_text(listed)
    marks = "Package: libhello\nArchitecture: amd64\nAuto-Installed: 1\n"
    (top / "var/lib/apt/extended_states").write_text(marks)
    (top / "usr/bin/hello").write_text("program")
    (top / "etc/hello/a").write_bytes(own)
    (top / "etc/hello/b").write_bytes(changed)
    (top / "etc/shadow").write_text("root:secret:::")
    (top / "etc/ssh/ssh_host_rsa_key").write_text("secret")
    (top / "opt/key").write_text("-----BEGIN PRIVATE KEY-----\nsecret")
    (top / "opt/tool").write_text("#!/bin/sh\n")
    (top / "opt/tool").chmod(0o755)
    (top / "opt/odd").write_text("")
    (top / "opt/odd").chmod(0o600)
    (top / "opt/link").symlink_to("/etc/shadow")
    (top / "opt/x.j2").write_text("{{ }}")
    os.mkfifo(top / "opt/fifo")
    os.mknod(top / "usr/bin/head", stat.S_IFCHR)
    target = tmp_path / "out"
    with difference.opened(rig.places, "test") as (container, layers):
        written = as_overlay.write(layers, container, target)
    assert sorted(written.files) == ["etc/hello/b", "opt/link", "opt/odd", "opt/tool"]
    found = {
        str(p.relative_to(target / "overlay"))
        for p in (target / "overlay").rglob("*")
        if not p.is_dir()
    }
    assert found == set(written.files)
    assert (target / "overlay/opt/link").readlink() == Path("/etc/shadow")
    recipe = written.recipe()
    assert 'install = [\n    "hello",\n]\n' in recipe
    assert "# /opt/key: left out: it holds a private key\n" in recipe
    assert "# /etc/shadow: left out: a secret, or one machine's own\n" in recipe
    assert "# deleted by hand: /usr/bin/head\n" in recipe
    assert '[[script]]\npath = "owners"\n' in recipe
    assert (target / "owners").read_text() == "#!/bin/sh\nset -e\nchmod 0600 -- /opt/odd\n"
    assert b"secret" not in b"".join(
        p.read_bytes() for p in target.rglob("*") if p.is_file() and not p.is_symlink()
    )
    with (
        pytest.raises(ConflictError, match="there is an overlay already"),
        difference.opened(rig.places, "test") as (container, layers),
    ):
        as_overlay.write(layers, container, target)


def test_two_trees(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "2")):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc/same").write_text("")
        (tmp_path / name / "etc/other").write_text(text)
        (tmp_path / name / f"only-{name}").write_text("")
    with difference.layers_on((tmp_path / "b",), tmp_path / "a", shows=False) as layers:
        found = {one.row.path: one.row.what for one in difference.differences(layers)}
    assert found == {"etc/other": "changed", "only-a": "deleted", "only-b": "added"}


ACCOUNTS = {
    "passwd": "root:x:0:0::/:/bin/sh\n"
    "ann:x:1000:1000::/:/bin/dash\njoe:x:1001:1001:Joe 🥖,,,:/home/joe:/bin/sh\n"
    "eve:x:1002:50::/srv/eve:/bin/sh\ndaemon2:x:105:105::/nonexistent:/bin/false\n",
    "group": "root:x:0:\nstaff:x:50:ann,joe\njoe:x:1001:\nteam:x:2000:joe,ann\n",
    "shadow": "joe:$y$secret:1::::::\n",
}


def test_users_that_were_made_by_hand(rig: Rig, tmp_path: Path) -> None:
    """As useradd, groupadd and usermod leave them."""
    top = upper(rig)
    for folder in ("etc", "home/joe"):
        (top / folder).mkdir(parents=True)
    for name, content in ACCOUNTS.items():
        (top / "etc" / name).write_text(content)
    (top / "home/joe/notes").write_text("mine\n")
    (top / "home/joe/notes").chmod(0o640)
    for path in ("home/joe", "home/joe/notes"):
        os.chown(top / path, 1001, 2000)
    target = tmp_path / "out"
    done = Oven(rig.places.data)("diff", "test", "--as-overlay", target)
    recipe = done.stdout.decode()
    read = tomllib.loads(recipe)
    joe, eve, system = (
        next(user for user in read["user"] if user["name"] == name)
        for name in ("joe", "eve", "daemon2")
    )
    assert joe == {
        "name": "joe", "uid": 1001, "groups": ["staff"], "shell": "/bin/sh", "gecos": "Joe 🥖",
    }  # fmt: skip
    assert (eve["home"], eve["uid"]) == ("/srv/eve", 1002)
    assert system["system"] is True
    assert read["script"] == [{"path": "owners"}]
    lines = (target / "owners").read_text().splitlines()
    assert lines[2] == "groupadd --gid 2000 team"
    for wanted in (
        "usermod --gid staff eve",
        "usermod --append --groups team joe",
        "usermod --append --groups team ann",
        "chown --no-dereference joe:team -- /home/joe/notes",
        "chmod 0640 -- /home/joe/notes",
        "chown --no-dereference joe:team -- /home/joe",
    ):
        assert wanted in lines
    assert "user `ann` was changed by hand (shell /bin/dash)" in recipe
    assert "the password of user `joe` is left out" in recipe
    assert "$y$" not in recipe
