"""Overlays as recipes want them: further folders, patterns, modes."""

import tracemalloc
from pathlib import Path

import pytest

from builder.host import notices
from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError
from builder.model.recipe import Recipe, Template
from builder.model.recipe.content import Overlay
from builder.model.rights import FileRights
from builder.model.toml.source import Source
from builder.recipes.loaded import LoadedRecipe
from builder.stages.tree.overlay import OverlayEntry, apply_overlay
from builder.stages.tree.overlay_files import read_overlays
from builder.store import Store

CELL = {"suite": "trixie", "arch": "amd64"}


def read(folder: Path, wanted: Overlay, *said: FileRights) -> dict[str, OverlayEntry]:
    recipe = Recipe(template=Template(name="recipe"), overlay=wanted, file=said)
    path = folder.with_suffix(".toml")
    loaded = LoadedRecipe(recipe, Source(path, ""), folder, path.with_suffix(".lock"))
    found = read_overlays(loaded, CELL, Store(folder.parent / "store"))
    return {entry.path: entry for entry in found}


def write(folder: Path, name: str, text: str = "x", mode: int = 0o644) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe").mkdir()
    return tmp_path / "recipe"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard = list[str]()
    monkeypatch.setattr(notices, "_hearers", [heard.append])
    return heard


def test_further_overlays_are_laid_over_the_first(folder: Path) -> None:
    write(folder, "overlay/etc/motd", "plain")
    write(folder, "overlay/etc/other")
    write(folder, "overlay-trixie/etc/motd", "trixie")
    write(folder, "overlay-bookworm/etc/motd", "bookworm")
    write(folder, "full/etc/more")
    wanted = Overlay(folders=("overlay-{suite}", "overlay-{arch}", "full"))
    found = read(folder, wanted)
    assert list(found) == ["etc", "etc/more", "etc/motd", "etc/other"]
    assert found["etc/motd"].source == Path("overlay-trixie/etc/motd")
    assert found["etc/more"].source == Path("full/etc/more")


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(RecipeError, match="there is no folder `ful`"):
        read(folder, Overlay(folders=("ful",)))


def test_templates_that_are_none_keep_their_name(folder: Path) -> None:
    write(folder, "overlay/usr/share/app/page.j2")
    write(folder, "overlay/etc/motd.j2")
    found = read(folder, Overlay(verbatim=("usr/share/app/*",)))
    assert found["usr/share/app/page.j2"].kind == "file"
    assert found["etc/motd"].kind == "template"


def test_what_the_author_leaves_out(folder: Path) -> None:
    for name in ("overlay/a.orig", "overlay/etc/b.orig", "overlay/etc/c", "overlay/doc/d"):
        write(folder, name)
    assert set(read(folder, Overlay(ignore=("*.orig", "doc", "doc/*")))) == {"etc", "etc/c"}


def test_absolute_links_mean_the_containers_own_root(folder: Path) -> None:
    (folder / "overlay").mkdir()
    (folder / "overlay/site").symlink_to("/usr/share/site")
    assert read(folder, Overlay())["site"].content == "/usr/share/site"


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o600, 0o644), (0o4755, 0o755), (0o640, 0o644), (0o4700, 0o755)]
)
def test_modes_that_get_lost_are_told(folder: Path, told: list[str], mode: int, kept: int) -> None:
    write(folder, "overlay/etc/key", mode=mode)
    write(folder, "overlay/etc/plain")
    assert read(folder, Overlay())["etc/key"].mode == kept
    [notice] = told
    assert f"`overlay/etc/key` is {mode:04o} here and {kept:04o} there: say so" in notice
    told.clear()
    assert read(folder, Overlay(modes="disk"))["etc/key"].mode == mode
    read(folder, Overlay(), FileRights(path="/etc/key", mode="0600"))
    assert told == []


@pytest.mark.parametrize("mode", [0o644, 0o664, 0o755, 0o775, 0o600, 0o700])
def test_modes_of_every_checkout_are_not(folder: Path, told: list[str], mode: int) -> None:
    write(folder, "overlay/etc/plain", mode=mode)
    read(folder, Overlay())
    assert told == []


def test_holes_stay_holes_and_nothing_is_read_whole(folder: Path) -> None:
    """From the author's disk into the store and from there into a tree."""
    (folder / "overlay").mkdir()
    with (folder / "overlay/disk.img").open("wb") as file:
        file.truncate(512 << 20)
        file.seek(300 << 20)
        file.write(b"data")
    entries = tuple(read(folder, Overlay()).values())
    tree = folder.parent / "tree"
    tree.mkdir()
    tracemalloc.start()
    with TreeIO(tree) as there:
        apply_overlay(there, entries, {}, Store(folder.parent / "store"), homes={})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    status = (tree / "disk.img").stat()
    assert (status.st_size, status.st_blocks * 512 < 1 << 20) == (512 << 20, True)
    assert peak < 16 << 20
    with (tree / "disk.img").open("rb") as file:
        file.seek(300 << 20)
        assert file.read(4) == b"data"


def test_what_is_wrong_in_a_further_overlay_is_named_where_it_lies(folder: Path) -> None:
    (folder / "more/deep").mkdir(parents=True)
    (folder / "more/deep/out").symlink_to("../x")
    with pytest.raises(RecipeError) as caught:
        read(folder, Overlay(folders=("more/deep",)))
    assert caught.value.at is not None
    assert caught.value.at.path == folder / "more/deep/out"
