"""Templates from tarballs and from the store, and back to the very bytes."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.errors import (
    HostError,
    OvenError,
    TrustError,
)
from builder.model.manifest import MANIFEST_PATH
from builder.model.progress import Silent
from builder.model.value import canonical, digest_of
from builder.stages.accept import import_built
from builder.stages.pack import PACK, Packed, pack_inputs
from builder.stages.stage import make
from builder.stages.tools import Tools
from builder.store import Store
from builder.store.manifest import read_tree
from builder.templates.exchange import export_template, import_template, unpack_template
from builder.templates.local import Templates
from tests.support.needs import needs
from tests.support.trees.odd_trees import EPOCH, make_odd_tree, manifest


@pytest.fixture
def built(tmp_path: Path) -> tuple[Packed, Store]:
    report = Silent()
    store = Store(tmp_path / "cache")
    tools = Tools(store=store, run=on_host, net=Net(report), report=report, jobs=2)
    with store.draft() as draft:
        root = make_odd_tree(draft / "tree")
        os.utime(root / "etc/hosts", (1, 1))  # a build clamps times before it keeps a tree
        tree = store.keep_tree(root, epoch=EPOCH)
    return make(PACK, pack_inputs(tree, manifest()), tools, slot="s"), store


@needs("root")
def test_what_was_built_is_linked_and_equals_what_is_unpacked(
    built: tuple[Packed, Store], templates: Templates, tmp_path: Path
) -> None:
    packed, store = built
    linked = import_built(packed, store, templates)
    assert not linked.unpacked
    unpack_template(linked, templates, store)
    assert [path.name for path in sorted(linked.folder.iterdir())] == ["manifest.json", "rootfs"]
    blob, tree = store.blob(packed.sha256), store.tree(packed.tree)
    assert blob is not None
    assert tree is not None
    assert (linked.rootfs / "usr/bin/su").samefile(tree / "usr/bin/su")
    assert not (linked.rootfs / "etc/hosts").samefile(tree / "etc/hosts"), "programs count names"
    assert not (tree / MANIFEST_PATH).exists()
    unpacked = import_template(blob, Templates(tmp_path / "other"))
    assert linked.digest == unpacked.digest == f"sha256:{packed.sha256}"
    assert linked.manifest == unpacked.manifest == manifest()
    (linked.rootfs / "usr/socket").unlink()  # which no tarball can hold
    os.utime(linked.rootfs / "usr", (1_600_000_000, 1_600_000_000))
    assert read_tree(linked.rootfs, epoch=EPOCH) == read_tree(unpacked.rootfs, epoch=EPOCH)


@needs("root")
def test_what_was_built_has_no_name_before_it_is_given_one(
    built: tuple[Packed, Store], templates: Templates
) -> None:
    other = digest_of("one")
    with templates.draft() as draft:
        (draft / "rootfs").mkdir()
        templates.add(draft, manifest("odd"), other, "odd")
    first = import_built(*built, templates)
    assert first.names == ()
    assert templates.find("odd").digest == other
    templates.tag("odd", first.digest)
    assert import_built(*built, templates) == templates.find("odd")
    assert templates.find("odd").folder == first.folder


@needs("root")
def test_what_was_built_is_unpacked_also_without_the_cache(
    built: tuple[Packed, Store], templates: Templates, tmp_path: Path
) -> None:
    packed, store = built
    template = import_built(packed, store, templates)
    shutil.rmtree(store.root)
    unpack_template(template, templates, Store(tmp_path / "empty"))
    assert (template.rootfs / MANIFEST_PATH).read_bytes() == canonical(manifest())
    assert not template.tarball.exists()
    unpack_template(template, templates, Store(tmp_path / "empty"))


@needs("root")
def test_damage_to_what_is_not_unpacked_yet_is_told(
    built: tuple[Packed, Store], templates: Templates, tmp_path: Path
) -> None:
    template = import_built(*built, templates)
    data = bytearray(template.tarball.read_bytes())
    data[-9] ^= 1
    template.tarball.unlink()
    template.tarball.write_bytes(data)
    with pytest.raises(OvenError):
        unpack_template(template, templates, Store(tmp_path / "empty"))
    assert not template.unpacked
    with pytest.raises(HostError, match="is damaged"):
        export_template(template, tmp_path / "out", jobs=1)
    assert list((tmp_path / "out").iterdir()) == []


@contextlib.contextmanager
def other_disk(folder: Path, block: int) -> Iterator[Path]:
    """Lend a file system of its own."""
    disk, image = folder / "disk", folder / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", str(block), str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@needs("root", "program:mkfs.ext4")
def test_on_another_file_system_what_was_built_is_unpacked(
    built: tuple[Packed, Store], tmp_path: Path
) -> None:
    with other_disk(tmp_path, 4096) as disk:
        template = import_built(*built, Templates(disk))
        assert (template.rootfs / MANIFEST_PATH).exists()
        assert (template.rootfs / "usr/bin/su").samefile(template.rootfs / "usr/bin/zu")


@needs("root", "program:mkfs.ext4")
def test_a_file_system_of_small_blocks_cannot_keep_long_links(
    built: tuple[Packed, Store], tmp_path: Path
) -> None:
    with other_disk(tmp_path, 1024) as disk:
        with pytest.raises(TrustError, match="long-link` is longer than this file system can"):
            import_built(*built, Templates(disk))
        assert Templates(disk).every() == []
        assert list((disk / "templates/drafts").iterdir()) == []


@needs("root")
def test_export_gives_the_very_bytes_that_were_imported(
    built: tuple[Packed, Store], templates: Templates, tmp_path: Path
) -> None:
    templates.tag("odd", import_built(*built, templates).digest)
    for _ in ("as its tarball", "unpacked"):
        path = export_template(templates.find("odd"), tmp_path / "out", jobs=2)
        assert path == tmp_path / "out/odd_amd64.tar.zst"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == built[0].sha256
        assert list((tmp_path / "out").iterdir()) == [path]
        unpack_template(templates.find("odd"), templates, built[1])


@needs("root")
def test_a_hostile_template_leaves_nothing(templates: Templates, tmp_path: Path) -> None:
    from tests.support.trees.tar_blocks import END, FIRST, symlink

    (tmp_path / "bad.tar").write_bytes(FIRST + symlink("etc", "/etc") + END)
    with pytest.raises(TrustError, match="`etc` must be a folder"):
        import_template(tmp_path / "bad.tar", templates)
    assert templates.every() == []
    assert list((tmp_path / "data/templates/drafts").iterdir()) == []
