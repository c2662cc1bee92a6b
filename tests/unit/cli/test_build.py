"""A build's mistakes are told by the right path, before the work, and by the right person."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from builder import build
from builder.cli.app import run
from builder.cli.terminal.progress import Progressing
from builder.distros import ArchiveSources
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.errors import HostError, RecipeError
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import digest_of
from builder.recipes.load import load
from builder.recipes.request import BuildRequest, choose_arch
from builder.stages.stage import Tree
from builder.stages.tools import Tools
from builder.store import Store
from builder.templates.exchange import output_folder
from tests.support.builds.locks import lock
from tests.support.builds.projects import TINY, project


@pytest.mark.parametrize(
    ("script", "overlay", "at"),
    [("#!\n", "", "recipes/tiny/x"), ("#!/bin/sh\n", "../x", "recipes/tiny/overlay/link")],
)
def test_a_mistake_beside_a_recipe_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, overlay: str, at: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = project(tmp_path, f'{TINY}[[script]]\npath = "x"\n').with_suffix("")
    (folder / "overlay").mkdir(parents=True)
    (folder / "x").write_text(script)
    if overlay:
        (folder / "overlay/link").symlink_to(overlay)
    monkeypatch.setattr(build, "fetch", lambda *_, **__: None)
    monkeypatch.setattr(build, "make", lambda *_, **__: Tree(digest_of("a tree")))
    tools = Tools(store=Store(tmp_path), run=on_host, net=Net(Silent()), report=Silent(), jobs=1)
    order = BuildRequest(loaded=load("tiny"), arch=Arch.AMD64, lock=lock())
    with pytest.raises(RecipeError) as caught:
        build.build(
            order, ArchiveSources({}, tmp_path, tmp_path, {"native": ()}), tools, driver="native"
        )
    assert caught.value.at is not None
    assert caught.value.at.path == Path(at)


@pytest.mark.parametrize("wanted", ["arm64", "x86", ""])
def test_an_architecture_that_the_recipe_does_not_have(tmp_path: Path, wanted: str) -> None:
    text = TINY.replace('"bookworm"\n', '"bookworm"\narch = ["s390x"]\n')
    loaded = load(str(project(tmp_path, text)))
    with pytest.raises(RecipeError, match=f"`tiny` is not made for `{wanted}") as caught:
        choose_arch(loaded, wanted)
    assert caught.value.hint == "it is made for: s390x"
    assert choose_arch(loaded, "s390x") is Arch.S390X


def test_output_goes_to_a_folder(tmp_path: Path) -> None:
    output_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()
    file = tmp_path / "file"
    file.touch()
    for wrong in (file, file / "below"):
        with pytest.raises(RecipeError, match="is not a folder"):
            output_folder(wrong)
    with pytest.raises(HostError, match=r"cannot make the folder `/proc/x`"):
        output_folder(Path("/proc/x"))


def test_lock_options_that_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lock", "debian-bookworm", "--check", "--update"]) == 2
    assert "--update cannot go with it" in capsys.readouterr().err


@pytest.mark.parametrize(("outcome", "sign"), [("failed", "✗"), ("1 MB", "✓")])
def test_what_failed_has_no_tick(outcome: str, sign: str) -> None:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, record=True, width=80)
        with Progressing(console) as report:
            report.begin("bake").close(outcome)
    assert f"{sign} bake" in console.export_text()
