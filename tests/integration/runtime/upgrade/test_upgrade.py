"""Upgrades with small trees: what becomes of each file, and what a death or a failure leaves."""

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.model.errors import ConflictError, NotFoundError, StageError
from builder.model.progress import Silent
from builder.model.value import canonical, hex_of
from builder.runtime.access.exec import capture
from builder.runtime.history import snapshots
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import load
from builder.runtime.upgrade import merge, upgrade
from builder.runtime.upgrade.merge import Three
from builder.runtime.upgrade.upgrade import UpgradeRequest
from builder.templates.local import Templates
from tests.support.containers.rig import DIGEST, Rig
from tests.support.containers.templates import add, describe
from tests.support.containers.upgrades import NEW, WORK, order
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs
from tests.support.trees.odd_trees import manifest

pytestmark = needs("root", "program:runc", "program:conmon")

LINES = "".join(f"line {n}\n" for n in range(10))
FILES = {
    "etc/app.conf": LINES,
    "etc/plain": "1\n",
    "etc/touched": "1\n",
    "etc/gone": "1\n",
    "etc/both": "1\n",
    "usr/share/data": "1\n",
    "var/lib/dpkg/status": "",
}


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    for path, text in FILES.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    return tree


@pytest.fixture
def new(tmp_path: Path, tree: Path) -> Path:
    root = tmp_path / "new"
    shutil.copytree(tree, root, symlinks=True)
    return root


@pytest.fixture
def rig(rig: Rig, new: Path) -> Iterator[Rig]:
    describe(rig)
    add(rig, NEW, new)
    create.create(rig.places, rig.container())
    yield rig
    assert not list((rig.places.data / "containers").glob("*/change.json"))
    assert not list((rig.places.data / "containers").glob("*/drafts"))


def upper(rig: Rig) -> Path:
    return rig.places.data / "containers/test/upper"


def put(rig: Rig, path: str, text: str) -> Path:
    file = upper(rig) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def seen(rig: Rig, *paths: str) -> str:
    control.start(rig.places, "test", Silent())
    return capture(rig.places, "test", ("cat", *paths))[1]


def test_every_verdict(rig: Rig, new: Path) -> None:
    put(rig, "etc/app.conf", LINES.replace("line 1", "mine"))
    (new / "etc/app.conf").write_text(LINES.replace("line 8", "theirs"))
    put(rig, "etc/plain", "mine\n")
    put(rig, "etc/touched", "1\n")
    (new / "etc/touched").write_text("2\n")
    (new / "etc/touched").chmod(0o640)
    os.mknod(upper(rig) / "etc/gone", stat.S_IFCHR)
    (new / "etc/gone").write_text("2\n")
    put(rig, "etc/both", "mine\n")
    (new / "etc/both").write_text("theirs\n")
    (new / "usr/share/data").write_text("2\n")
    put(rig, "etc/same", "same\n")
    (new / "etc/same").write_text("same\n")
    wanted = {
        "etc/app.conf": "merged",
        "etc/plain": "kept",
        "etc/touched": "updated",
        "etc/gone": "conflict",
        "etc/both": "conflict",
        "usr/share/data": "updated",
        "etc/same": "identical",
    }
    plan = upgrade.foresee(rig.places, "test", order(rig))
    assert {line.path: line.verdict for line in plan.lines} == wanted
    assert load(rig.places, "test").template == DIGEST, "nothing is done by looking"
    done = upgrade.upgrade(rig.places, "test", order(rig), Silent())
    assert {line.path: line.verdict for line in done.plan.lines} == wanted
    assert state.status(rig.places, "test") == "stopped", "as before"
    record = load(rig.places, "test")
    assert (record.template, len(record.layers)) == (NEW, 1)
    assert seen(rig, "/etc/plain", "/etc/both", "/etc/touched", "/usr/share/data") == (
        "mine\nmine\n2\n2\n"
    )
    assert capture(rig.places, "test", ("cat", "/etc/both.oven-new"))[1] == "theirs\n"
    merged = LINES.replace("line 1", "mine").replace("line 8", "theirs")
    assert capture(rig.places, "test", ("cat", "/etc/app.conf"))[1] == merged
    assert capture(rig.places, "test", ("cat", "/etc/gone"))[0] == 1
    assert stat.S_IMODE((upper(rig) / "etc/touched").stat().st_mode) == 0o640
    assert Templates(rig.places.data).users(DIGEST) == ["test"], "the way back needs it"


def test_rollback_and_forth(rig: Rig, new: Path) -> None:
    with pytest.raises(NotFoundError, match="has not been upgraded"):
        upgrade.rollback(rig.places, "test")
    put(rig, "etc/plain", "mine\n")
    (new / "usr/share/data").write_text("2\n")
    control.start(rig.places, "test", Silent())
    done = upgrade.upgrade(rig.places, "test", order(rig), Silent())
    assert state.status(rig.places, "test") == "running", "as before"
    with pytest.raises(ConflictError, match="is running"):
        upgrade.rollback(rig.places, "test")
    control.stop(rig.places, "test", timeout=20)
    assert upgrade.rollback(rig.places, "test") == done.snapshot
    assert load(rig.places, "test").template == DIGEST
    assert seen(rig, "/etc/plain", "/usr/share/data") == "mine\n1\n"
    control.stop(rig.places, "test", timeout=20)
    (after,) = (n for n in snapshots.listed(rig.places, "test") if n.startswith("before-rollback"))
    snapshots.restore(rig.places, "test", after, discard=True)
    assert seen(rig, "/etc/plain", "/usr/share/data") == "mine\n2\n"


@pytest.mark.parametrize("running", [True, False])
def test_what_does_not_start_is_undone(rig: Rig, new: Path, *, running: bool) -> None:
    (new / "usr/sbin/init").write_text("#!/bin/sh\necho broken\nexit 1\n")
    put(rig, "etc/plain", "mine\n")
    if running:
        control.start(rig.places, "test", Silent())
    with pytest.raises(StageError, match="is as it was before"):
        upgrade.upgrade(rig.places, "test", order(rig), Silent())
    assert load(rig.places, "test").template == DIGEST
    assert state.status(rig.places, "test") == ("running" if running else "stopped")
    assert seen(rig, "/etc/plain") == "mine\n"


def test_one_that_is_never_ready_is_undone(rig: Rig, new: Path) -> None:
    """An init that is said to be systemd and tells nothing within the time."""
    control.destroy(rig.places, "test")
    rig.of_systemd()
    late = UpgradeRequest(order(rig).template, timeout=0.5)
    with pytest.raises(StageError, match=r"is not ready after 0\.5 seconds"):
        upgrade.upgrade(rig.places, "test", late, Silent())
    assert load(rig.places, "test").template == DIGEST
    assert state.status(rig.places, "test") == "stopped"


def test_a_template_of_another_kind_is_refused(rig: Rig) -> None:
    path = rig.places.data / "templates" / hex_of(NEW) / "manifest.json"
    path.write_bytes(canonical(msgspec.structs.replace(manifest("tiny"), distro="other")))
    with pytest.raises(ConflictError, match="is other for"):
        upgrade.upgrade(rig.places, "test", order(rig), Silent())
    assert snapshots.listed(rig.places, "test") == {}


INTERRUPTED = """
class Loud(Silent):
    def begin(self, label, **_):
        print(label, flush=True)
        return self

upgrade.upgrade(places, 'test', UpgradeRequest(template), Loud())
"""


def test_an_interruption_is_undone(rig: Rig) -> None:
    """Of a container that would never be ready."""
    control.destroy(rig.places, "test")
    rig.of_systemd()
    process = rig.call(WORK + INTERRUPTED)
    assert process.stdout is not None
    assert process.stdout.readline() == b"starting test\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=150)
    assert b"KeyboardInterrupt" in err
    assert load(rig.places, "test").template == DIGEST
    assert state.status(rig.places, "test") == "stopped"


def test_users_of_both_sides_are_united(rig: Rig, tree: Path, new: Path) -> None:
    passwd = (tree / "etc/passwd").read_text()
    put(rig, "etc/passwd", passwd + "joe:x:1001:1001::/home/joe:/bin/sh\n")
    (new / "etc/passwd").write_text(passwd + "_svc:x:101:101::/:/bin/false\n")
    upgrade.upgrade(rig.places, "test", order(rig), Silent())
    text = seen(rig, "/etc/passwd")
    assert text.startswith(passwd)
    assert text.splitlines()[2:] == [
        "joe:x:1001:1001::/home/joe:/bin/sh",
        "_svc:x:101:101::/:/bin/false",
    ]


@pytest.mark.parametrize(
    "line", ["_svc:x:1001:101::/:/bin/false\n", "joe:x:101:101::/:/bin/false\n"]
)
def test_ids_that_clash_are_refused_before_anything_is_done(
    rig: Rig, tree: Path, new: Path, line: str
) -> None:
    passwd = (tree / "etc/passwd").read_text()
    put(rig, "etc/passwd", passwd + "joe:x:1001:1001::/home/joe:/bin/sh\n")
    (new / "etc/passwd").write_text(passwd + line)
    control.start(rig.places, "test", Silent())
    with pytest.raises(ConflictError, match="mean different names"):
        upgrade.upgrade(rig.places, "test", order(rig), Silent())
    assert state.status(rig.places, "test") == "running"
    assert snapshots.listed(rig.places, "test") == {}


def test_packages_of_its_own_are_refused(rig: Rig) -> None:
    status = "Package: hello\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.10\n"
    put(rig, "var/lib/dpkg/status", status)
    with pytest.raises(ConflictError, match=r"other packages than its template \(\+ hello 2.10\)"):
        upgrade.foresee(rig.places, "test", order(rig))


def test_reinstalling_puts_the_templates_files_in_place(rig: Rig, new: Path) -> None:
    status = "Package: hello\nStatus: install ok installed\nArchitecture: all\nVersion: 2\n"
    put(rig, "var/lib/dpkg/status", status)
    put(rig, "var/lib/dpkg/info/hello.list", "/.\n/usr/bin/hello\n/usr/share/data\n/etc/hello\n")
    put(rig, "usr/bin/hello", "program")
    put(rig, "usr/share/data", "of hello\n")
    (new / "var/lib/dpkg/status").write_text("\n")
    done = upgrade.upgrade(rig.places, "test", order(rig, reinstall=True, start=False), Silent())
    assert done.plan.work.install == ("hello",)
    assert seen(rig, "/usr/share/data", "/var/lib/dpkg/status") == "1\n\n"
    assert capture(rig.places, "test", ("ls", "/usr/bin/hello"))[0] != 0


MERGES = (
    (b"a:1\nb:2\n", b"a:9\nb:2\nc:3\n", b"a:1\nb:2\nd:4\n", b"a:9\nb:2\nd:4\nc:3\n"),
    (b"a:1\nb:2\n", b"a:1\nb:9\n", b"a:1\n", b"a:1\n"),
    (b"g:x:5:a\n", b"g:x:5:a,b\n", b"g:x:5:a,c\n", b"g:x:5:a,c,b\n"),
    (b"a:1\n", b"b:2\n", b"a:5\n", b"a:5\nb:2\n"),
)


@pytest.mark.parametrize(("old", "new", "own", "wanted"), MERGES)
def test_tables_of_accounts(old: bytes, new: bytes, own: bytes, wanted: bytes) -> None:
    assert merge.merge_accounts(Three(old, new, own)) == wanted


@pytest.mark.exhaustive
def test_death_at_any_step_leaves_old_or_new(rig: Rig, new: Path) -> None:
    put(rig, "etc/plain", "mine\n")
    put(rig, "etc/touched", "1\n")
    (new / "etc/touched").write_text("2\n")
    verb = "upgrade.upgrade(places, 'test', UpgradeRequest(template, start=False), Silent())"
    begin = WORK + at_each_step(verb, 0, signal.SIGKILL)
    came, died = False, 0
    for step in range(1, 120, 2):
        process = rig.call(begin.replace("left = 0", f"left = {step}"))
        out, err = process.communicate(timeout=60)
        came = b"came through" in out
        died += not came
        assert came or process.returncode != 0, err
        control.stop(rig.places, "test")
        check_whole(rig)
        if came:
            break
    assert came
    assert died > 5


def check_whole(rig: Rig) -> None:
    """See that all is old or all is new, and go back to the old."""
    record, kept = load(rig.places, "test"), snapshots.listed(rig.places, "test")
    layers = rig.places.data / "containers/test/layers"
    if record.template == DIGEST:
        assert (record.layers, kept) == ((), {})
        assert sorted(p.name for p in (upper(rig) / "etc").iterdir()) == ["plain", "touched"]
        assert not layers.exists() or list(layers.iterdir()) == []
        return
    ((name, snapshot),) = kept.items()
    assert snapshot.template == DIGEST
    assert (upper(rig) / "etc/touched").read_text() == "2\n"
    assert (layers / record.layers[0] / "etc/plain").read_text() == "mine\n"
    snapshots.restore(rig.places, "test", name, discard=True)
    snapshots.remove(rig.places, "test", (name,))
    put(rig, "etc/plain", "mine\n")
    put(rig, "etc/touched", "1\n")
