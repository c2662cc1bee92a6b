"""First-boot data in a container: written once, as its programs expect, through no link."""

import io
import os
import signal
from pathlib import Path

import pytest

from builder.distros.identity import forget_identity
from builder.model.errors import ConflictError, OvenError
from builder.model.first_boot import Account, File, FirstBoot, Root
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.bundle import first_boot
from builder.runtime.history import clone
from builder.runtime.history.clone import CloneRequest
from builder.runtime.history.transfer import ExportOptions, export_container
from builder.runtime.lifecycle import control, create
from tests.support.containers.logins import HASH, KEY
from tests.support.containers.rig import Rig
from tests.support.faults.steps import START, at_each_step
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")

DATA = FirstBoot(
    hostname="web1",
    root=Root(password_hash=HASH, ssh_keys=(KEY,)),
    user=(Account(name="bob", groups=("staff",), ssh_keys=(KEY,)), Account(name="ann")),
    file=(File(path="/opt/new/file", data=b"\0\xff", mode="0640"),),
)


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    (tree / "etc/shadow").write_text("root:*:19000:0:99999:7:::\nodd line\nann:!:1::::::\n")
    (tree / "etc/shadow").chmod(0o640)
    os.chown(tree / "etc/shadow", 0, 42)
    (tree / "etc/skel").mkdir()
    (tree / "etc/skel/.profile").write_text("skeleton")
    return tree


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container(), first_boot.extras(DATA))
    return rig


def inside(rig: Rig, script: str) -> str:
    code, output = capture(rig.places, "test", ("sh", "-c", script))
    assert code == 0, output
    return output


def test_it_is_written_as_programs_expect_it(rig: Rig) -> None:
    folder = rig.places.data / "containers/test"
    assert folder.stat().st_mode & 0o077 == 0, "it holds secrets"
    control.start(rig.places, "test", Silent())
    shadow = inside(rig, "cat /etc/shadow").splitlines()
    assert shadow[0].split(":")[:2] == ["root", HASH]
    assert shadow[1] == "odd line"
    assert shadow[2] == "ann:!:1::::::", "a user that is there stays as it is"
    assert shadow[3].startswith("bob:!:")
    assert "bob:x:1001:1001::/home/bob:/bin/sh" in inside(rig, "cat /etc/passwd")
    assert "staff:x:50:ann,bob" in inside(rig, "cat /etc/group")
    listed = inside(rig, "ls -ln /etc/shadow /opt/new/file; ls -lnd /.ssh /.ssh/authorized_keys")
    rows = [line.split() for line in listed.splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("-rw-r-----", "0", "42"),
        ("-rw-r-----", "0", "0"),
        ("drwx------", "0", "0"),
        ("-rw-------", "0", "0"),
    ]
    assert inside(rig, "cat /home/bob/.ssh/authorized_keys") == f"{KEY}\n"
    assert inside(rig, "id bob; cat /home/bob/.profile").endswith("skeleton")
    assert inside(rig, "cat /etc/hostname") == "web1\n"


def test_nothing_is_left_of_it_and_it_is_done_once(rig: Rig) -> None:
    control.start(rig.places, "test", Silent())
    folder = rig.places.data / "containers/test"
    assert list(folder.glob("first-boot*")) == []
    shared = rig.places.runtime / "containers/test/host/credentials"
    assert list(shared.iterdir()) == []
    assert HASH not in (rig.places.data / "events.jsonl").read_text()
    inside(rig, "echo changed > /etc/hostname; echo gone > /opt/new/file")
    control.stop(rig.places, "test", timeout=20)
    control.start(rig.places, "test", Silent())
    assert inside(rig, "cat /etc/hostname /opt/new/file") == "changed\ngone\n"


def test_a_clone_of_one_that_never_started_gets_it_too(rig: Rig) -> None:
    clone.clone(rig.places, "test", CloneRequest("other"), forget_identity)
    control.start(rig.places, "other", Silent())
    code, said = capture(rig.places, "other", ("cat", "/etc/hostname", "/etc/shadow"))
    assert code == 0
    assert said.startswith("other\n"), "the name is its own"
    assert HASH in said


def test_one_that_has_not_got_it_is_not_exported_without(rig: Rig) -> None:
    with pytest.raises(ConflictError, match="first-boot data"):
        export_container(rig.places, "test", io.BytesIO(), ExportOptions())
    control.start(rig.places, "test", Silent())
    file = io.BytesIO()
    export_container(rig.places, "test", file, ExportOptions())
    assert file.getvalue()


@pytest.mark.exhaustive
@pytest.mark.parametrize("step", range(2, 40, 6))
def test_a_death_at_any_step_is_made_good(rig: Rig, step: int) -> None:
    process = rig.call(at_each_step(START, step, signal.SIGKILL))
    process.communicate(timeout=60)
    control.start(rig.places, "test", Silent())
    assert HASH in inside(rig, "cat /etc/shadow")
    assert inside(rig, "cat /.ssh/authorized_keys") == f"{KEY}\n", "once, and not twice"
    assert list((rig.places.data / "containers/test").glob("first-boot*")) == []


@pytest.mark.parametrize("where", ["etc/shadow", ".ssh", "home", "opt"])
def test_no_link_of_a_template_leads_out(tmp_path: Path, tree: Path, where: str, rig: Rig) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("root:*:1::::::\n")
    upper = rig.places.data / "containers/test/upper"
    target = outside / "kept" if where == "etc/shadow" else outside
    (upper / where).parent.mkdir(exist_ok=True)
    (upper / where).symlink_to(target)
    with pytest.raises(OvenError):
        control.start(rig.places, "test", Silent())
    assert (outside / "kept").read_text() == "root:*:1::::::\n"
    assert os.listdir(outside) == ["kept"]
