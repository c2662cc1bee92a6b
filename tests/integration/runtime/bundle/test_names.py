"""Names: what an administrator changes in the files that Oven writes to stays, and what Oven is
asked for is so at once."""

import json
from pathlib import Path

import msgspec
import pytest

from builder.host.trees.treeio import TreeIO
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.bundle import names
from builder.runtime.lifecycle import control, create, update
from builder.runtime.record.container import load
from builder.runtime.recovery.held import Held
from tests.support.containers.oci import CONTAINER
from tests.support.containers.rig import Rig, add_program
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon")

OLD = (
    "# written by oven at the start of the container; delete this line to keep your changes\n"
    "127.0.0.1 localhost\n127.0.1.1 before\n::1 localhost ip6-localhost ip6-loopback\n"
)


@pytest.fixture
def running(rig: Rig, tree: Path) -> Rig:
    add_program(tree, "hostname")
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    return rig


def inside(rig: Rig, script: str) -> str:
    code, said = capture(rig.places, "test", ("sh", "-c", script))
    assert code == 0, said
    return said


def restart(rig: Rig) -> None:
    control.stop(rig.places, "test", timeout=20)
    control.start(rig.places, "test", Silent())


def test_lines_of_others_stay(running: Rig) -> None:
    inside(running, "echo 10.1.2.3 db >>/etc/hosts; echo search example.test >>/etc/resolv.conf")
    restart(running)
    hosts = inside(running, "cat /etc/hosts")
    assert hosts.startswith(names.BEGIN.decode())
    assert hosts.endswith(f"{names.END.decode()}10.1.2.3 db\n")
    assert hosts.count("127.0.1.1 test\n") == 1
    assert inside(running, "cat /etc/resolv.conf").endswith("search example.test\n")


def test_who_deletes_the_block_has_none(running: Rig) -> None:
    inside(
        running, "echo 127.0.0.1 localhost >/etc/hosts; echo nameserver 10.9.9.9 >/etc/resolv.conf"
    )
    restart(running)
    assert inside(running, "cat /etc/hosts") == "127.0.0.1 localhost\n"
    assert inside(running, "cat /etc/resolv.conf") == "nameserver 10.9.9.9\n"


def test_lines_of_the_template_stay_beside_the_block(rig: Rig, tree: Path) -> None:
    (tree / "etc/hosts").write_text("10.1.2.3 db\n")
    try:
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
        said = inside(rig, "cat /etc/hosts")
        assert "127.0.1.1 test\n" in said
        assert said.endswith("10.1.2.3 db\n")
    finally:
        (tree / "etc/hosts").unlink()


def test_a_file_of_an_earlier_version_gets_its_end(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text(f"# first\n{OLD}10.1.2.3 db\n")
    with TreeIO(tmp_path) as tree:
        names.write(tree, CONTAINER, (), first=frozenset())
    said = (tmp_path / "etc/hosts").read_text()
    assert said.startswith("# first\n" + names.BEGIN.decode())
    assert said.endswith(names.END.decode() + "10.1.2.3 db\n")
    assert "before" not in said
    assert "written by oven" not in said


def test_a_block_that_lost_its_end_takes_nothing_with_it(running: Rig) -> None:
    inside(running, "sed -i '/^# end of/d' /etc/hosts; echo 10.1.2.3 db >>/etc/hosts")
    restart(running)
    said = inside(running, "cat /etc/hosts")
    assert said.endswith(names.END.decode() + "10.1.2.3 db\n")
    assert said.count("127.0.0.1") == 1


def test_a_new_host_name_is_so_at_once(running: Rig, oven: Oven) -> None:
    assert oven("set", "test", "--hostname", "shop.example").returncode == 0
    files = "cat /proc/sys/kernel/hostname /etc/hostname"
    assert inside(running, files) == "shop.example\n" * 2
    assert "127.0.1.1 shop.example shop\n" in inside(running, "cat /etc/hosts")
    restart(running)
    assert inside(running, files) == "shop.example\n" * 2


def test_a_new_host_name_of_a_stopped_one_is_so_at_its_start(running: Rig, oven: Oven) -> None:
    inside(running, "echo by-hand >/etc/hostname")
    control.stop(running.places, "test", timeout=20)
    assert oven("set", "test", "--hostname", "second").returncode == 0
    control.start(running.places, "test", Silent())
    assert inside(running, "cat /etc/hostname /proc/sys/kernel/hostname") == "second\nsecond\n"


def test_a_host_name_that_was_changed_inside_is_told_and_kept(running: Rig, oven: Oven) -> None:
    def told() -> object:
        return json.loads(oven("show", "test", "--json").stdout)["hostname"]

    inside(running, "echo by-hand >/etc/hostname; hostname by-hand")
    assert told() == "by-hand"
    restart(running)
    assert "127.0.1.1 by-hand\n" in inside(running, "cat /etc/hosts")
    assert load(running.places, "test").hostname == "by-hand"
    control.stop(running.places, "test", timeout=20)
    assert told() == "by-hand"


def test_a_change_that_fails_leaves_the_name_as_it_was(
    running: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Held, "save", full)
    with pytest.raises(OSError, match="No space"):
        update.change(
            running.places, "test", lambda old: msgspec.structs.replace(old, hostname="other")
        )
    assert inside(running, "cat /etc/hostname /proc/sys/kernel/hostname") == "test\ntest\n"


@pytest.mark.parametrize("name", ["a b", "x\n10.0.0.1 bank.example", "-x", "", "a" * 65])
def test_what_is_no_host_name_is_refused(rig: Rig, oven: Oven, name: str) -> None:
    create.create(rig.places, rig.container())
    assert "is no host name" in oven.said("set", "test", "--hostname", name, code=2)
    assert load(rig.places, "test").hostname == "test"
