"""Whole containers as files: everything comes back, and nothing in a file can do harm."""

import io
import os
import random
import shutil
import signal
import stat
import tarfile
from pathlib import Path

import msgspec
import pytest
import zstandard

from builder.host.kernel import cgroups
from builder.model.errors import ConflictError, NotFoundError, OvenError, StageError, TrustError
from builder.model.network import PortMapping, parse_ports
from builder.model.progress import Silent
from builder.model.value import canonical
from builder.runtime.access.exec import capture
from builder.runtime.history import snapshots
from builder.runtime.history.transfer import (
    ExportOptions,
    export_container,
    import_container,
)
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import Bind, Container, Interface, all_names, load, save
from builder.runtime.record.layout import cgroup_of
from tests.support.containers.packed import entry, packed, record_of
from tests.support.containers.rig import Rig
from tests.support.containers.templates import describe
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    describe(rig)
    create.create(rig.places, rig.container())
    return rig


def folder(rig: Rig, name: str = "test") -> Path:
    return rig.places.data / "containers" / name


def exported(rig: Rig, packing: ExportOptions | None = None) -> bytes:
    file = io.BytesIO()
    export_container(rig.places, "test", file, packing or ExportOptions())
    return file.getvalue()


def taken(rig: Rig, data: bytes, name: str | None = "new") -> Container:
    path = rig.places.data / "file"
    path.write_bytes(data)
    return import_container(rig.places, path, name).container


def fill(top: Path) -> None:
    """Put in all that a layer can have."""
    (top / "etc/d").mkdir(parents=True)
    os.setxattr(top / "etc/d", "trusted.overlay.opaque", b"y")
    os.setxattr(top / "etc/d", "trusted.overlay.origin", b"of this machine")
    os.mknod(top / "tmp", stat.S_IFCHR)
    (top / "file").write_bytes(os.urandom(100_000))
    os.chown(top / "file", 1000, 65534)
    (top / "file").chmod(0o4751)
    os.setxattr(top / "file", "user.note", b"n")
    os.setxattr(top / "file", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12))
    os.link(top / "file", top / "linked")
    (top / "link").symlink_to("/etc/shadow")
    os.chown(top / "link", 5, 6, follow_symlinks=False)
    os.mkfifo(top / "fifo")
    with (top / "sparse").open("wb") as sparse:
        sparse.truncate(50 << 20)
        sparse.seek(20 << 20)
        sparse.write(b"x")
    (top / os.fsdecode(b"n\xff\n")).write_text("odd")
    (top / ("long" * 60)).write_text("")


def facts(top: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        xattrs = {n: os.getxattr(path, n, follow_symlinks=False)
                  for n in os.listxattr(path, follow_symlinks=False)}  # fmt: skip
        xattrs.pop("trusted.overlay.origin", None)
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        target = os.fspath(path.readlink()) if path.is_symlink() else ""
        found[str(path.relative_to(top))] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_rdev,
            int(status.st_mtime), xattrs, content, target,
        )  # fmt: skip
    return found


def test_everything_comes_back(rig: Rig) -> None:
    fill(folder(rig) / "upper")
    snapshots.create(rig.places, "test", "one")
    (folder(rig) / "upper/later").write_text("later\n")
    made = taken(rig, exported(rig))
    assert made.layers == load(rig.places, "test").layers
    for name in ("upper", f"layers/{made.layers[0]}"):
        assert facts(folder(rig, "new") / name) == facts(folder(rig) / name)
    sparse = folder(rig, "new") / "layers" / made.layers[0] / "sparse"
    assert sparse.stat().st_blocks < 1000
    assert snapshots.listed(rig.places, "new") == snapshots.listed(rig.places, "test")
    control.start(rig.places, "new", Silent())
    assert capture(rig.places, "new", ("cat", "/later"))[1] == "later\n"
    assert made.first_id != load(rig.places, "test").first_id
    control.stop(rig.places, "new", timeout=20)
    snapshots.restore(rig.places, "new", "one", discard=True)
    alone = taken(rig, exported(rig, ExportOptions(snapshots=False)), "alone")
    assert snapshots.listed(rig.places, "alone") == {}
    assert facts(folder(rig, "alone") / "layers" / alone.layers[0])


def test_a_copy_beside_its_original_is_told_or_made_another_machine(rig: Rig) -> None:
    upper = folder(rig) / "upper"
    (upper / "etc/ssh").mkdir(parents=True)
    (upper / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (upper / "etc/ssh/ssh_host_ed25519_key").write_text("a key\n")
    path = rig.places.data / "file"
    path.write_bytes(exported(rig))
    same = import_container(rig.places, path, "same")
    assert same.notes == [
        (
            "it has the machine-id and the keys of container `test`;"
            " `oven import --as-another` makes it another machine"
        )
    ]
    assert (folder(rig, "same") / "upper/etc/ssh/ssh_host_ed25519_key").exists()
    another = import_container(rig.places, path, "another", as_another=True)
    assert another.notes == []
    assert another.container.uuid != same.container.uuid
    made = folder(rig, "another") / "upper/etc"
    assert (made / "machine-id").read_text() == ""
    assert not (made / "ssh/ssh_host_ed25519_key").exists()


def test_a_running_container_is_written_as_it_is_at_one_moment(rig: Rig) -> None:
    control.start(rig.places, "test", Silent())
    capture(rig.places, "test", ("sh", "-c", "echo 1 > /a"))
    data = exported(rig)
    assert not cgroups.is_frozen(cgroup_of(rig.places, "test"))
    assert not (folder(rig) / "drafts").exists()
    taken(rig, data)
    assert (folder(rig, "new") / "upper/a").read_text() == "1\n"


def test_the_template_comes_along_where_it_is_wanted(rig: Rig, tree: Path) -> None:
    put = rig.places.data / "templates" / ("ab" * 32)
    (put / "rootfs").unlink()
    shutil.copytree(tree, put / "rootfs", symlinks=True)
    bare, whole = exported(rig), exported(rig, ExportOptions(template=True))
    control.destroy(rig.places, "test")
    shutil.rmtree(put)
    with pytest.raises(NotFoundError, match=r"the template `tiny` .* is not here") as caught:
        taken(rig, bare)
    assert "--with-template" in str(caught.value.hint)
    assert all_names(rig.places) == []
    made = taken(rig, whole)
    assert made.template != "sha256:" + "ab" * 32, "of a tree that was never a tarball"
    control.start(rig.places, "new", Silent())
    assert capture(rig.places, "new", ("cat", "/etc/group"))[1] == (tree / "etc/group").read_text()


def test_what_reaches_beyond_a_container_is_told(rig: Rig) -> None:
    record = load(rig.places, "test")
    asked = msgspec.structs.replace(
        record,
        interfaces=(Interface(network="web", host="all"),),
        ports=parse_ports("8080:80"),
        restart="always",
        protected=True,
    )
    (folder(rig) / "container.json").write_bytes(canonical(asked))
    path = rig.places.data / "file"
    path.write_bytes(exported(rig))
    result = import_container(rig.places, path, "new")
    assert result.container.interfaces == (Interface(network="web"),)
    told, reach, *_ = result.notes
    assert told == (
        "as the file says it is on the network `web`; publishes port 8080:80; is started again when"
        " it ends (always); is protected from `oven destroy`; `oven set` changes that"
    )
    assert "of this host it reaches what its networks say" in reach
    for one in (record, result.container):
        save(rig.places, msgspec.structs.replace(one, protected=False))


def test_what_no_import_takes_is_not_exported(rig: Rig) -> None:
    here = folder(rig) / "upper"
    for _ in range(201):
        here /= "d"
        here.mkdir()
    with pytest.raises(StageError, match="is in more than 200 folders, and no Oven would take it"):
        exported(rig)


def test_what_is_this_hosts_alone_is_left_behind(rig: Rig) -> None:
    record = load(rig.places, "test")
    bound = msgspec.structs.replace(record, binds=(Bind(source="/etc", target="/mnt"),))
    (folder(rig) / "container.json").write_bytes(canonical(bound))
    path = rig.places.data / "file"
    path.write_bytes(exported(rig))
    with pytest.raises(ConflictError, match="there is a container `test` already"):
        import_container(rig.places, path, None)
    result = import_container(rig.places, path, "new")
    assert result.container.binds == ()
    assert "no folder of this host is shown inside (/mnt)" in result.notes[0]
    assert result.container.hostname == "new"


def xattr(name: str, kind: bytes, key: str, value: str) -> tarfile.TarInfo:
    return entry(name, kind, pax_headers={f"SCHILY.xattr.{key}": value})


HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "a path outside": [entry("upper/../../evil", tarfile.REGTYPE)],
    "an absolute path": [entry("/etc/evil", tarfile.REGTYPE)],
    "another folder": [entry("work/evil", tarfile.REGTYPE)],
    "the record itself": [entry("container.json", tarfile.REGTYPE)],
    "a layer that nobody named": [entry("layers/ffffffffffff")],
    "the upper as a link": [entry("upper", tarfile.SYMTYPE, linkname="/etc")],
    "through a link": [
        entry("upper/a", tarfile.SYMTYPE, linkname="/tmp"),
        entry("upper/a/b", tarfile.REGTYPE),
    ],
    "a device": [entry("upper/null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a disk": [entry("upper/disk", tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "a link out": [entry("upper/l", tarfile.LNKTYPE, linkname="../../container.json")],
    "a link to nothing": [entry("upper/l", tarfile.LNKTYPE, linkname="upper/none")],
    "a strange owner": [entry("upper/f", tarfile.REGTYPE, uid=70000)],
    "a redirect": [xattr("upper/d", tarfile.DIRTYPE, "trusted.overlay.redirect", "/etc")],
    "metadata only": [xattr("upper/f", tarfile.REGTYPE, "trusted.overlay.metacopy", "")],
    "an opaque file": [xattr("upper/f", tarfile.REGTYPE, "trusted.overlay.opaque", "y")],
    "an odd opaque": [xattr("upper/d", tarfile.DIRTYPE, "trusted.overlay.opaque", "x")],
    "a label": [xattr("upper/f", tarfile.REGTYPE, "security.selinux", "x")],
    "twice": [entry("upper/f", tarfile.REGTYPE), entry("upper/f", tarfile.REGTYPE)],
    "too deep": [entry("upper/" + "d/" * 250)],
    "a continuous file of no kind": [entry("upper/f", b"Z")],
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_could_do_harm_is_refused(rig: Rig, what: str) -> None:
    with pytest.raises(TrustError):
        taken(rig, packed(record_of(rig), HOSTILE[what]))
    assert all_names(rig.places) == ["test"]
    assert not (rig.places.data / "evil").exists()


RECORDS: dict[str, dict[str, object]] = {
    "template": {"template": "sha256:../../../etc"},
    "layers": {"layers": ("../../../etc",)},
    "uuid": {"uuid": "x\n"},
    "hostname": {"hostname": "a\nb"},
    "name": {"name": "../evil"},
    "networks": {"interfaces": (Interface(network="a b"),)},
    "addresses": {"ports": (PortMapping(host=1, port=1, address="fe80::1%a } ; b"),)},
    "times": {"created": 1 << 60},
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_is_looked_at_field_by_field(rig: Rig, what: str) -> None:
    with pytest.raises(TrustError, match=f"wrong `{what}`"):
        taken(rig, packed(record_of(rig, **RECORDS[what]), []), None)
    with pytest.raises(TrustError, match="cannot be read"):
        taken(rig, packed(b'{"version": 2}', []))
    with pytest.raises(TrustError, match="lacks the layer"):
        taken(rig, packed(record_of(rig, layers=("0123456789ab",)), []))


def test_a_plain_file_in_the_same_form_is_taken(rig: Rig) -> None:
    """Or the tests above would pass for another reason."""
    good = [
        entry("upper/d", mode=0o700),
        entry("upper/d/gone", tarfile.CHRTYPE),
        xattr("upper/o", tarfile.DIRTYPE, "trusted.overlay.opaque", "y"),
        entry("upper/f", tarfile.REGTYPE),
        entry("upper/l", tarfile.LNKTYPE, linkname="upper/f"),
    ]
    taken(rig, packed(record_of(rig), good))
    upper = folder(rig, "new") / "upper"
    assert stat.S_ISCHR((upper / "d/gone").lstat().st_mode)
    assert os.getxattr(upper / "o", "trusted.overlay.opaque") == b"y"
    assert (upper / "f").stat().st_nlink == 2


def test_damaged_files_are_refused_and_leave_nothing(rig: Rig) -> None:
    fill(folder(rig) / "upper")
    (folder(rig) / "upper/sparse").unlink()
    whole = exported(rig)
    stream = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(whole), read_across_frames=True)
    tar = stream.read()
    chance = random.Random(7)
    for turn in range(60):
        data = bytearray(tar if turn % 3 else whole)
        if turn % 4 == 3:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(1 + turn % 5):
                data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            taken(rig, bytes(data))
        except OvenError:
            assert all_names(rig.places) == ["test"]
        else:
            control.destroy(rig.places, "new")  # only contents were hit, which tar cannot tell
        assert not list((rig.places.data / "containers").glob("new.*"))


def test_death_at_any_step_leaves_all_or_nothing(rig: Rig) -> None:
    fill(folder(rig) / "upper")
    snapshots.create(rig.places, "test", "one")
    path = rig.places.data / "file"
    path.write_bytes(exported(rig))
    verb = "import_container(places, home / 'file', 'new')"
    code = "from builder.runtime.history.transfer import import_container\n"
    came, died = False, 0
    for step in range(1, 200, 7):
        process = rig.call(code + at_each_step(verb, step, signal.SIGKILL))
        came = b"came through" in process.communicate(timeout=60)[0]
        died += not came
        control.stop(rig.places, "test")
        if "new" in all_names(rig.places):
            assert list(snapshots.listed(rig.places, "new")) == ["one"]
            control.destroy(rig.places, "new")
        assert rig.leftovers() == []
        if came:
            break
    assert came
    assert died > 3
