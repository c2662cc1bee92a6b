"""Overlays: what is read, what is refused, what a template sees."""

import contextlib
import os
from pathlib import Path

import pytest

from builder.appliance.rendering import render
from builder.appliance.variables import Variables
from builder.host.process.bounded import Bounds
from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError, Span
from builder.recipes.project import Project
from builder.stages.tree.overlay import OverlayEntry, apply_overlay, render_overlay
from builder.stages.tree.overlay_files import read_overlay
from builder.store import Store

VARIABLES = Variables(
    parameters={"title": "Hello", "port": 80, "items": "kept", "https": False},
    template={"name": "web", "summary": "A web server"},
    base={"distro": "debian", "suite": "bookworm", "arch": "amd64"},
)
SOURCE = Path("overlay/page.j2")


LEFT = (
    ".gitkeep",
    ".keep",
    ".git/config",
    "CVS/Root",
    "a.conf~",
    ".a.conf.swp",
    ".#lock",
    "#draft#",
)


def rendered(text: str) -> str:
    return render({SOURCE: text.encode()}, VARIABLES)[SOURCE].decode()


def refusal(text: str) -> tuple[RecipeError, Span]:
    with pytest.raises(RecipeError) as caught:
        rendered(text)
    assert caught.value.at is not None
    assert caught.value.at.path == SOURCE
    return caught.value, caught.value.at


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recipe/overlay"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ parameters.title }} on {{ parameters.port }}\n", "Hello on 80\n"),
        ("{{ template.name }}: {{ template.summary }}", "web: A web server"),
        ("{{ base.distro }}/{{ base.suite }}/{{ base.arch }}\n\n", "debian/bookworm/amd64\n\n"),
        ("{{ parameters.items }}", "kept"),
        ("{{ parameters['title'] }}", "Hello"),
        ("{% if parameters.https %}s{% else %}plain{% endif %}", "plain"),
        ("<b>{{ '<&>' }}</b>", "<b><&></b>"),
    ],
)
def test_a_template_sees_the_declared_values(text: str, result: str) -> None:
    assert rendered(text) == result


def test_an_undefined_name_is_underlined_and_the_nearest_offered() -> None:
    error, at = refusal("first\nwelcome to {{ parameters.titel }}\n")
    assert error.problem == "`titel` is not defined"
    assert (at.line, at.column, at.length) == (2, 26, 5)
    assert at.text == "welcome to {{ parameters.titel }}"
    assert error.hint == "did you mean `parameters.title`?"


def test_a_name_like_no_other_lists_those_that_exist() -> None:
    error, at = refusal("{{ zzz }}")
    assert at.line == 1
    assert error.hint == (
        "a template sees `parameters.https`, `parameters.items`, `parameters.port`, "
        "`parameters.title`, `template.name`, `template.summary`, `base.arch`, `base.distro`, "
        "`base.suite`"
    )


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("ok\n{% if %}\n", "expected an expression, got 'end of statement block'", 2),
        ("a\nb\n{{ parameters.title", "unexpected end of template", 3),
        ("\n{{ 1 / 0 }}", "division by zero", 2),
        ("{{ 'a' + 1 }}", 'can only concatenate str (not "int") to str', 1),
        ("{% include '/etc/passwd' %}", "a template cannot read other files", 1),
        ("{% extends 'other' %}", "a template cannot read other files", 1),
    ],
)
def test_mistakes_name_file_and_line(text: str, problem: str, line: int) -> None:
    error, at = refusal(text)
    assert problem in error.problem
    assert at.line == line


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ parameters.__init__.__globals__ }}",
        "{{ parameters.__dict__.update(title='x') }}",
        "{{ self.__init__ }}",
        "{{ [].append(1) }}",
        "{{ range(10**9) | list }}",
    ],
)
def test_the_sandbox_holds(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ 9 ** (9 ** 9) }}", "seconds"),
        ("{% for i in 'a' * 99999 %}{% for j in 'a' * 99999 %}{% endfor %}{% endfor %}", "seconds"),
        ("{{ 'a' * 2500000000 }}", "MiB of memory"),
        ("{% set x = 'a'|center(9999999) %}{{ x|replace('a', x) }}{{ x * 99 }}", "MiB of memory"),
    ],
)  # fmt: skip
def test_a_template_is_ended_with_its_line(
    text: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of C code, too; what was rendered before it is not blamed."""
    monkeypatch.setattr("builder.appliance.rendering.BOUNDS", Bounds(seconds=1, memory=256 << 20))
    texts = {Path("overlay/sound.j2"): b"\n\n{{ base.arch }}", SOURCE: f"\n{text}".encode()}
    with pytest.raises(RecipeError, match=f"the template takes more than .* {problem}") as caught:
        render(texts, VARIABLES)
    assert caught.value.at is not None
    assert caught.value.at.path == SOURCE
    assert caught.value.at.line == 2


def test_a_template_must_be_text() -> None:
    with pytest.raises(RecipeError, match="UTF-8") as caught:
        render({SOURCE: b"fine\n\xff\xfe"}, VARIABLES)
    assert caught.value.at is not None
    assert caught.value.at.line == 2


def test_reading_lists_everything_sorted(folder: Path, store: Store) -> None:
    (folder / "etc").mkdir()
    (folder / "etc/motd.j2").write_text("{{ parameters.title }}\n")
    (folder / "etc/hello").write_text("#!/bin/sh\n")
    (folder / "etc/hello").chmod(0o700)
    (folder / "etc/link").symlink_to("../usr/share/x")
    entries = read_overlay(folder, store, Project(folder.parent))
    assert [(one.path, one.kind, one.mode) for one in entries] == [
        ("etc", "dir", 0o755),
        ("etc/hello", "file", 0o755),
        ("etc/link", "symlink", 0o777),
        ("etc/motd", "template", 0o644),
    ]
    assert entries[3].source == Path("overlay/etc/motd.j2")
    assert render_overlay(entries, VARIABLES, store) == {"etc/motd": b"Hello\n"}


def test_the_same_overlay_elsewhere_reads_the_same(tmp_path: Path, store: Store) -> None:
    listings = []
    for place in ("one", "two"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "file").write_text("same")
        os.utime(folder / "file", (len(place), 7))
        listings.append(read_overlay(folder, store, Project(folder.parent)))
    assert listings[0] == listings[1]


def test_no_overlay_is_an_empty_one(tmp_path: Path, store: Store) -> None:
    assert read_overlay(tmp_path / "none", store, Project(tmp_path)) == ()


@pytest.mark.parametrize(
    ("path", "target", "problem", "hint"),
    [
        (
            "etc/up",
            "../../host",
            "the link's target `../../host` climbs out of the overlay",
            "use a relative link that stays below the overlay's top",
        ),
        (
            "top",
            "a/../../b/..",
            "the link's target `a/../../b/..` climbs out of the overlay",
            "use a relative link that stays below the overlay's top",
        ),
    ],
)
def test_links_that_leave_the_overlay_are_refused(
    folder: Path, store: Store, path: str, target: str, problem: str, hint: str
) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).symlink_to(target)
    with pytest.raises(RecipeError) as caught:
        read_overlay(folder, store, Project(folder.parent))
    assert caught.value.problem == problem
    assert caught.value.hint == hint
    assert caught.value.at is not None
    assert caught.value.at.path == folder / path


def test_special_files_are_refused(folder: Path, store: Store) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(RecipeError, match="files, folders and symbolic links"):
        read_overlay(folder, store, Project(folder.parent))


@pytest.mark.parametrize("name", [b"caf\xe9", b".j2"])
def test_names_that_cannot_be_used_are_refused(folder: Path, store: Store, name: bytes) -> None:
    (folder / os.fsdecode(name)).write_text("")
    with pytest.raises(RecipeError, match=r"must be UTF-8 text|nothing is left"):
        read_overlay(folder, store, Project(folder.parent))


def test_two_sources_of_one_file_are_refused(folder: Path, store: Store) -> None:
    (folder / "motd").write_text("")
    (folder / "motd.j2").write_text("")
    with pytest.raises(RecipeError, match=r"`motd` and `motd.j2` both become `/motd`"):
        read_overlay(folder, store, Project(folder.parent))


@pytest.mark.skipif(os.geteuid() != 0, reason="files of a tree are root's")
def test_nothing_is_written_through_a_link_of_the_tree(
    tmp_path: Path, folder: Path, store: Store
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "etc").symlink_to(outside)
    (root / "usr").symlink_to("system")
    (root / "system").mkdir(mode=0o700)
    (folder / "usr").mkdir()
    (folder / "usr/fine").write_text("x")
    (folder / "etc").mkdir()
    (folder / "etc/motd").write_text("x")
    entries = read_overlay(folder, store, Project(folder.parent))
    with TreeIO(root) as tree:
        with pytest.raises(RecipeError, match="cannot put `/etc` into the tree"):
            apply_overlay(tree, entries, {}, store, homes={})
        apply_overlay(
            tree, tuple(one for one in entries if one.path[:3] == "usr"), {}, store, homes={}
        )
    assert os.listdir(outside) == []
    assert (root / "system/fine").read_text() == "x"
    assert (root / "system").stat().st_mode & 0o777 == 0o700


def test_a_folder_in_the_way_is_the_authors_to_mend(tmp_path: Path, store: Store) -> None:
    (tmp_path / "root/etc/motd").mkdir(parents=True)
    link = OverlayEntry(path="etc/motd", kind="symlink", mode=0o777, content="x")
    with (
        TreeIO(tmp_path / "root") as tree,
        pytest.raises(RecipeError, match="cannot put `/etc/motd` into the tree: not a regular"),
    ):
        apply_overlay(tree, (link,), {}, store, homes={})


def test_an_overlay_that_is_a_file(folder: Path, store: Store) -> None:
    folder.rmdir()
    folder.touch()
    with pytest.raises(RecipeError, match="an overlay is a folder") as caught:
        read_overlay(folder, store, Project(folder.parent))
    assert caught.value.at == Span(folder)


def test_a_file_that_may_not_be_read(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def refuse(path: str, flags: int, *more: int, **other: int) -> int:
        if flags == os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC:
            raise PermissionError(13, "Permission denied", path)
        return really(path, flags, *more, **other)

    (folder / "secret").touch()
    monkeypatch.setattr("builder.host.trees.treeio.os.open", refuse)
    monkeypatch.setattr(store, "draft", lambda: contextlib.nullcontext(folder.parent))
    with pytest.raises(RecipeError, match="this file cannot be read: permission denied") as caught:
        read_overlay(folder, store, Project(folder.parent))
    assert caught.value.at == Span(folder / "secret")


def test_what_editors_and_version_control_leave_is_no_part_of_it(
    folder: Path, store: Store
) -> None:
    for name in (*LEFT, "a.conf", ".gitignore", ".bashrc", "git/config", ".swap/x"):
        path = folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = read_overlay(folder, store, Project(folder.parent))
    kept = [entry.path for entry in found if entry.kind == "file"]
    own = ("a.conf", ".gitignore", ".bashrc", "git/config", ".swap/x")
    assert kept == sorted(f"etc/{name}" for name in own)
    assert [entry.path for entry in found if entry.kind == "dir"] == ["etc", "etc/.swap", "etc/git"]
