"""Local templates: found by name or digest, shared, swept when nobody needs them."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.formats.tarball import pack
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.host.trees.durable import locked
from builder.model.errors import (
    ConflictError,
    HostError,
    NotFoundError,
    OvenError,
    RecipeError,
    TrustError,
)
from builder.model.manifest import MANIFEST_PATH
from builder.model.progress import Silent
from builder.model.value import Digest, canonical, digest_of
from builder.stages.accept import import_built
from builder.stages.pack import PACK, Packed, pack_inputs
from builder.stages.stage import make
from builder.stages.tools import Tools
from builder.store import Store
from builder.store.manifest import read_tree
from builder.templates.exchange import export_template, import_template, unpack_template
from builder.templates.local import Template, Templates
from tests.support.needs import needs
from tests.support.trees.odd_trees import EPOCH, make_odd_tree, manifest

ONE, TWO = digest_of("one"), digest_of("two")


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    return Templates(tmp_path / "data")


def add(templates: Templates, name: str, digest: Digest) -> Template:
    with templates.draft() as draft:
        (draft / "rootfs/etc").mkdir(parents=True)
        return templates.add(draft, manifest(name), digest, name)


def use(tmp_path: Path, container: str, digest: Digest) -> None:
    folder = tmp_path / "data/containers" / container
    folder.mkdir(parents=True)
    (folder / "container.json").write_text(json.dumps({"template": digest, "name": container}))


def test_a_template_is_found_by_name_and_by_digest(templates: Templates) -> None:
    added = add(templates, "debian", ONE)
    assert added.names == ("debian",)
    assert added.rootfs.is_dir()
    for wanted in ("debian", ONE, ONE.removeprefix("sha256:")[:12], ONE[:15]):
        assert templates.find(wanted) == added
    assert templates.every() == [added]


def test_nearest_names_are_offered(templates: Templates) -> None:
    add(templates, "debian-bookworm", ONE)
    with pytest.raises(NotFoundError, match="no template `debian-bokworm`") as caught:
        templates.find("debian-bokworm")
    assert caught.value.hint == "did you mean `debian-bookworm`?"


@pytest.mark.parametrize("wanted", ["x", "", "../names", "/etc", "0000000", "sha256:", "a\0b", "é"])
def test_what_is_not_there_is_told(templates: Templates, wanted: str) -> None:
    for _ in range(2):  # first without any template at all
        with pytest.raises(NotFoundError):
            templates.find(wanted)
        add(templates, "debian", ONE)


def test_too_few_digits_are_a_conflict(templates: Templates) -> None:
    first, second = Digest("sha256:" + "abcd" * 16), Digest("sha256:" + "abcd" + "0" * 60)
    add(templates, "one", first)
    add(templates, "two", second)
    with pytest.raises(ConflictError, match="stands for 2 templates"):
        templates.find("abcd")
    assert templates.find("abcd0").digest == second


@pytest.mark.parametrize("name", ["../x", "", "Name", "a/b", ".hidden", "x" * 64])
def test_a_name_is_never_a_path(templates: Templates, name: str, tmp_path: Path) -> None:
    with templates.draft() as draft:
        (draft / "rootfs").mkdir()
        with pytest.raises(RecipeError, match="cannot name a template"):
            templates.add(draft, manifest(), ONE, name)
    assert templates.every() == []
    assert list((tmp_path / "data/templates/drafts").iterdir()) == []


def test_a_template_built_again_takes_the_name(templates: Templates, tmp_path: Path) -> None:
    old = add(templates, "debian", ONE)
    use(tmp_path, "web", ONE)
    assert add(templates, "debian", TWO) == templates.find("debian")
    assert templates.find(ONE).names == ()
    assert templates.prune_untagged() == []
    (tmp_path / "data/containers/web/container.json").unlink()
    assert [one.digest for one in templates.prune_untagged()] == [ONE]
    assert not old.folder.exists()
    assert [one.digest for one in templates.every()] == [TWO]


def test_a_template_in_use_is_kept_and_its_users_are_named(
    templates: Templates, tmp_path: Path
) -> None:
    add(templates, "debian", ONE)
    use(tmp_path, "web", ONE)
    use(tmp_path, "other", TWO)
    with pytest.raises(ConflictError, match="used by the container `web`"):
        templates.remove("debian")
    assert templates.find("debian").rootfs.is_dir()


def test_a_damaged_container_counts_as_a_user(templates: Templates, tmp_path: Path) -> None:
    add(templates, "debian", ONE)
    use(tmp_path, "web", TWO)
    (tmp_path / "data/containers/web/container.json").write_text("{")
    with pytest.raises(ConflictError, match="`web`"):
        templates.remove("debian")


def test_the_last_name_takes_the_tree_with_it(templates: Templates, tmp_path: Path) -> None:
    folder = add(templates, "debian", ONE).folder
    templates.tag("stable", ONE)
    assert templates.find("stable").names == ("debian", "stable")
    templates.remove("debian")
    assert templates.find("stable").digest == ONE
    templates.remove("stable")
    assert not folder.exists()
    assert list((tmp_path / "data/templates/drafts").iterdir()) == []
    with pytest.raises(NotFoundError):
        templates.find(ONE)


def test_by_digest_all_names_go(templates: Templates) -> None:
    add(templates, "debian", ONE)
    templates.tag("stable", ONE)
    templates.remove(ONE)
    assert templates.every() == []
    with pytest.raises(NotFoundError):
        templates.find("stable")


def test_a_name_for_nothing_is_refused(templates: Templates) -> None:
    with pytest.raises(NotFoundError):
        templates.tag("debian", ONE)


def test_adding_the_same_again_keeps_the_tree_that_containers_stand_on(
    templates: Templates,
) -> None:
    before = add(templates, "debian", ONE).rootfs.stat().st_ino
    assert add(templates, "debian", ONE).rootfs.stat().st_ino == before


def test_drafts_of_the_dead_are_swept_and_of_the_living_left(
    templates: Templates, tmp_path: Path
) -> None:
    drafts = tmp_path / "data/templates/drafts"
    (drafts / "dead/draft/rootfs").mkdir(parents=True)
    (drafts / "living").mkdir()
    with locked(drafts / "living/lock"), templates.draft():
        assert (drafts / "living").exists()
        assert not (drafts / "dead").exists()


def test_many_may_add_at_once(tmp_path: Path) -> None:
    def work(number: int) -> None:
        add(Templates(tmp_path / "data"), "debian", digest_of(number % 3))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Templates(tmp_path / "data").every()
    assert {one.digest for one in found} == {digest_of(number) for number in range(3)}
    assert [one.names for one in found if one.names] == [("debian",)]
    assert list((tmp_path / "data/templates/drafts").iterdir()) == []


# From tarballs and from the store


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
    assert (linked.rootfs / "etc/hosts").samefile(tree / "etc/hosts")
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
    add(templates, "odd", ONE)
    first = import_built(*built, templates)
    assert first.names == ()
    assert templates.find("odd").digest == ONE
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


# The command line

Oven = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def oven(tmp_path: Path) -> Oven:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "builder", "template", *map(str, arguments)],
            env={**os.environ, "OVEN_HOME": str(tmp_path / "data")},
            capture_output=True,
            text=True,
        )

    return run


@needs("root")
def test_a_day_with_templates(oven: Oven, tmp_path: Path) -> None:
    tree = make_odd_tree(tmp_path / "tree")
    tarball = tmp_path / "odd.tar.zst"
    pack(tree, manifest(), tarball)
    assert oven("list").stdout == ""
    assert json.loads(oven("list", "--json").stdout) == []
    assert oven("import", tarball).stdout == "odd\n"
    assert oven("import", tarball, "--name", "other").stdout == "other\n"
    assert [line.split()[0] for line in oven("list").stdout.splitlines()] == [
        "NAME",
        "odd",
        "other",
    ]
    (row,) = json.loads(oven("list", "--json").stdout)
    assert row["names"] == ["odd", "other"]
    assert row["digest"] in oven("show", "odd").stdout
    shown = json.loads(oven("show", "other", "--json").stdout)
    assert shown["manifest"]["summary"] == "a tree of oddities"
    assert shown["used-by"] == []
    done = oven("export", "odd", "-o", tmp_path / "out")
    assert done.stdout == f"{tmp_path}/out/odd_amd64.tar.zst\n"
    assert (tmp_path / "out/odd_amd64.tar.zst").read_bytes() == tarball.read_bytes()
    assert oven("rm", "odd", "other").returncode == 0
    assert json.loads(oven("list", "--json").stdout) == []


@needs("root")
def test_a_name_that_moves_to_another_template_is_told(oven: Oven, tmp_path: Path) -> None:
    """A stranger's template that is called like one of ours does not take its place unseen."""
    tree = make_odd_tree(tmp_path / "tree")
    pack(tree, manifest(), tmp_path / "one.tar.zst")
    (tree / "etc/changed").write_text("by a stranger")
    pack(tree, manifest(), tmp_path / "two.tar.zst")
    assert oven("import", tmp_path / "one.tar.zst").stderr == ""
    assert oven("import", tmp_path / "one.tar.zst").stderr == "", "the same one takes nothing"
    (before,) = json.loads(oven("list", "--json").stdout)
    done = oven("import", tmp_path / "two.tar.zst")
    assert done.stdout == "odd\n"
    assert f"`odd` was {before['digest'].removeprefix('sha256:')[:12]}" in done.stderr
    assert " before, and is now " in done.stderr


@needs("root")
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["show", "nothing"], 7, "there is no template `nothing`"),
        (["rm", "nothing"], 7, "there is no template `nothing`"),
        (["export", "nothing"], 7, "there is no template `nothing`"),
        (["import", "nothing"], 2, "cannot read `nothing`"),
        (["import", "/etc/passwd"], 2, "this is no template"),
        (["import", "/etc"], 2, "cannot read `/etc`"),
    ],
)
def test_mistakes_are_told(oven: Oven, arguments: list[str], code: int, text: str) -> None:
    done = oven(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
