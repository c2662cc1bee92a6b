"""What is told of containers: in a list, of one, again and again, and of what they share."""

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from builder.cli.app import oven
from builder.host.kernel import page_cache
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.model.network import PortMapping
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.inspect import samples, shared_memory, show
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import Limits
from tests.support.containers.rig import Rig, add_program
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")

MIB = 1 << 20


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    (tree / "data").write_bytes(os.urandom(4 * MIB))
    add_program(tree, "mkdir")
    return tree


@pytest.fixture
def rig(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setenv("OVEN_HOME", str(rig.places.data))
    return rig


def start(rig: Rig, *names: str) -> None:
    for name in names:
        create.create(rig.places, rig.container(name, limits=Limits(memory=64 * MIB, pids=50)))
        control.start(rig.places, name, Silent())


def said(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(oven, words)
    assert done.exit_code == code, done.output
    return done.stdout


def forgotten(path: Path) -> None:
    """Have the kernel let go of what it has in memory of a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert page_cache.cached(fd) == 0
    finally:
        os.close(fd)


def cached_inside(rig: Rig, name: str, path: str) -> int:
    """Ask of a file as the container sees it; through mincore(2), which overlays answer."""
    pid = show.show(rig.places, name).pid
    with TreeIO(Path(f"/proc/{pid}/root")) as seen, seen.opened(path) as fd:
        return page_cache.mapped_and_cached(fd)


def test_one_copy_of_a_template_is_in_memory_for_all(rig: Rig, tree: Path) -> None:
    start(rig, "one", "two")
    forgotten(tree / "data")
    before = shared_memory.measure(rig.places)
    assert cached_inside(rig, "two", "data") == 0
    assert capture(rig.places, "one", ("sh", "-c", "cat /data > /dev/null"))[0] == 0
    after = shared_memory.measure(rig.places)
    # What one has read is there for the other, which has other ids, and is there once.
    assert cached_inside(rig, "two", "data") == cached_inside(rig, "one", "data") == 4 * MIB
    (old,), (new,) = before.templates, after.templates
    assert 4 * MIB <= new.resident - old.resident < 5 * MIB
    one, two = after.containers
    first, second = (show.show(rig.places, name).container.first_id for name in ("one", "two"))
    assert abs(first - second) >= 65536
    # Both run the same shell: the very same frames of memory.
    assert one.shared == two.shared == new.saved == after.saved > 100_000
    assert new.mapped == one.mapped + two.mapped - new.saved
    assert new.containers == 2
    for share in after.containers:
        assert share.alone == share.own + share.files + share.mapped


def test_what_a_container_has_changed_is_its_own(rig: Rig, tree: Path) -> None:
    start(rig, "one", "two")
    before = {share.name: share for share in shared_memory.measure(rig.places).containers}
    control.stop(rig.places, "one", timeout=20)
    upper = rig.places.data / "containers/one/upper"
    shutil.copytree(tree / "usr/lib", upper / "usr/lib")
    shutil.copy(tree / "data", upper / "mine")
    control.start(rig.places, "one", Silent())
    after = {share.name: share for share in shared_memory.measure(rig.places).containers}
    assert after["one"].files - before["one"].files >= 4 * MIB
    assert after["one"].mapped < before["one"].mapped
    assert after["one"].shared < before["one"].shared
    assert after["two"].files == before["two"].files


def test_a_container_cannot_hinder_it(rig: Rig) -> None:
    start(rig, "one")
    nest = "i=0; while [ $i -lt 300 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done"
    assert capture(rig.places, "one", ("sh", "-c", nest))[0] == 0
    (share,) = shared_memory.measure(rig.places).containers
    assert share.own > 0
    assert share.mapped > 0


def test_mincore_and_cachestat_agree(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    with path.open("rb") as file:
        assert (
            page_cache.cached(file.fileno())
            == page_cache.mapped_and_cached(file.fileno())
            == 303_104
        )
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file:
        assert page_cache.cached(file.fileno()) == page_cache.mapped_and_cached(file.fileno()) == 0


def test_samples_tell_what_happens_meanwhile(rig: Rig) -> None:
    start(rig, "one")
    create.create(rig.places, rig.container("two"))
    seen = samples.samples(rig.places, delay=0.1)
    first = next(seen)
    busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    assert capture(rig.places, "one", ("sh", "-c", busy))[0] == 0
    second = next(seen)
    seen.close()
    (was,), (now,) = first, second
    assert (now.name, now.status) == ("one", "running")
    assert was.use
    assert now.use
    assert now.rates
    assert now.rates.cpu
    assert (now.use.cpu.seconds or 0) > (was.use.cpu.seconds or 0)
    assert now.use.memory.limit == 64 * MIB
    assert now.use.pids.limit == 50
    assert now.use.pids.used == 2
    # By name also one that does not run.
    named = samples.samples(rig.places, ("two",), delay=0.1)
    assert [(one.name, one.status, one.use) for one in next(named)] == [("two", "stopped", None)]
    named.close()


def test_top_for_people_and_for_scripts(rig: Rig) -> None:
    start(rig, "one")
    lines = [
        json.loads(line) for line in said("top", "-n", "2", "-d", "0.1", "--json").splitlines()
    ]
    assert [line["containers"][0]["name"] for line in lines] == ["one", "one"]
    assert lines[1]["containers"][0]["rates"]["interval"] < 5
    heading, row = said("top", "--once").splitlines()
    assert heading.split()[:3] == ["NAME", "CPU%", "MEMORY"]
    assert row.split()[0] == "one"
    assert row.split()[2].endswith("/64.0M")
    assert "saved" in said("top", "--memory", "--once")
    share = json.loads(said("top", "--memory", "--once", "--json"))["memory"]["containers"][0]
    assert share["name"] == "one"
    assert CliRunner().invoke(oven, ["top", "--once", "absent"]).exit_code == 1  # by its exception


def test_show_tells_use_beside_limits(rig: Rig) -> None:
    start(rig, "one")
    facts = json.loads(said("show", "one", "--json"))
    assert facts["limits"]["pids"] == facts["use"]["pids"]["limit"] == 50
    assert 0 < facts["use"]["memory"]["used"] <= facts["use"]["memory"]["limit"] == 64 * MIB
    assert facts["use"]["pressure"]["cpu"].keys() == {"some", "full"}
    told = dict(line.split(None, 1) for line in said("show", "one").splitlines())
    assert told["processes"] == "2 of 50"
    assert " of 64.0M" in told["memory"]
    assert told["status"].startswith("running since")
    control.stop(rig.places, "one", timeout=20)
    assert json.loads(said("show", "one", "--json"))["use"] is None
    assert "at most 64.0M" in said("show", "one")


def test_list_for_people_and_for_scripts(rig: Rig) -> None:
    start(rig, "one")
    port = PortMapping(host=8080, port=80)
    create.create(rig.places, msgspec.structs.replace(rig.container("two"), ports=(port,)))
    assert said("list", "-q") == "one\ntwo\n"
    assert said("list", "-q", "--running") == "one\n"
    assert (
        said("list", "--format", "{name}={status} {ports}")
        == "one=running -\ntwo=stopped 8080:80\n"
    )
    one, two = json.loads(said("list", "--json"))
    assert (one["name"], one["status"], one["ready"]) == ("one", "running", True)
    assert (two["status"], two["pid"], two["ports"]) == ("stopped", None, ["8080:80"])
    assert [line.split()[0] for line in said("list").splitlines()] == ["NAME", "one", "two"]


LIST = """
import sys
opened = []
sys.addaudithook(lambda event, words: opened.append(words[0]) if event == "open" else None)
from builder.runtime.inspect.show import list_containers
del opened[:]
rows = list_containers(places)
print(len(rows), len([path for path in opened if str(path).startswith(str(home))]))
print({"rich", "subprocess", "socket", "builder.host.kernel.cgroups"} & set(sys.modules))
"""


def test_a_list_reads_one_file_of_each(rig: Rig) -> None:
    """What makes it quick, for a thousand too."""
    create.create(rig.places, rig.container("first"))
    containers = rig.places.data / "containers"
    for number in range(50):
        shutil.copytree(containers / "first", containers / f"other-{number}")
    out, err = rig.call(LIST).communicate(timeout=60)
    assert out == b"51 51\nset()\n", err


def test_a_damaged_record_is_told_and_hides_no_other(rig: Rig) -> None:
    start(rig, "one")
    folder = rig.places.data / "containers/two"
    for damage in (b'{"name":', b"", b"\xff\0", None):
        folder.mkdir()
        if damage is not None:
            (folder / "container.json").write_bytes(damage)
        rows = {row.name: row for row in show.list_containers(rig.places)}
        assert (rows["one"].status, rows["two"].status) == ("running", "damaged")
        assert rows["two"].problem
        assert "damaged" in said("list")
        assert "damaged" in said("show", "two")
        assert json.loads(said("show", "two", "--json"))["status"] == "damaged"
        if damage is not None:
            with pytest.raises(HostError, match="record of container `two` is damaged"):
                create.create(rig.places, rig.container("three"))
        shutil.rmtree(folder)


def test_a_process_that_has_ended_is_not_alive(rig: Rig) -> None:
    from builder.host import pids

    pid = os.fork()
    if pid == 0:
        os._exit(0)
    started = pids.start_time(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert started
    assert not pids.is_alive(pid, started)
    os.waitpid(pid, 0)
    assert not pids.is_alive(pid, started)
    me = os.getpid()
    assert pids.is_alive(me, pids.start_time(me))
    assert not pids.is_alive(me, 1)
    assert not state.alive(None)
