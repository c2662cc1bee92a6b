"""Stages are remembered by the value they get, and say why they run."""

import dataclasses
from pathlib import Path

import pytest

from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.progress import Silent
from builder.model.value import Value, digest_of
from builder.stages.stage import Stage, Tree, differences, make
from builder.stages.tools import Tools
from builder.store import Store


class Bread(Value, frozen=True):
    flour: str
    grams: int = 500


class Telling(Silent):
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def stage(self, name: str, outcome: str, reason: str, /) -> None:
        self.told.append((outcome, reason))


Kitchen = tuple[Tools, Telling, list[Bread], Stage[Bread, Tree]]


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    report = Telling()
    baked: list[Bread] = []
    tools = Tools(store=Store(tmp_path), run=on_host, net=Net(report), report=report, jobs=2)

    def bake(inputs: Bread, tools: Tools) -> Tree:
        baked.append(inputs)
        return Tree(digest_of(inputs))

    return tools, report, baked, Stage("bake", 1, bake, Tree, lambda *_: True)


def test_the_same_value_is_worked_on_once(kitchen: Kitchen) -> None:
    tools, report, baked, stage = kitchen
    first = make(stage, Bread("rye"), tools, slot="s")
    assert make(stage, Bread("rye"), tools, slot="s") == first
    assert baked == [Bread("rye")]
    assert report.told == [("runs", "first time"), ("kept", "nothing changed")]


def test_a_changed_input_is_named(kitchen: Kitchen) -> None:
    tools, report, baked, stage = kitchen
    make(stage, Bread("rye"), tools, slot="s")
    make(stage, Bread("rye", 600), tools, slot="s")
    assert report.told[-1] == ("runs", "grams 500 -> 600")
    assert len(baked) == 2


def test_a_stage_of_another_version_runs_again(kitchen: Kitchen) -> None:
    tools, _, baked, stage = kitchen
    make(stage, Bread("rye"), tools, slot="s")
    newer = Stage(stage.name, 2, stage.work, stage.result, stage.held)
    make(newer, Bread("rye"), tools, slot="s")
    assert len(baked) == 2


def test_a_result_that_is_gone_is_made_again(kitchen: Kitchen) -> None:
    tools, _, baked, stage = kitchen
    make(stage, Bread("rye"), tools, slot="s")
    gone = Stage(stage.name, 1, stage.work, stage.result, lambda *_: False)
    make(gone, Bread("rye"), tools, slot="s")
    assert len(baked) == 2


def test_a_stage_that_fails_leaves_no_memory(kitchen: Kitchen) -> None:
    tools, _, baked, stage = kitchen

    def burn(inputs: Bread, tools: Tools) -> Tree:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        make(Stage("bake", 1, burn, Tree, lambda *_: True), Bread("rye"), tools, slot="s")
    make(stage, Bread("rye"), tools, slot="s")
    assert len(baked) == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2, "b": 3}, ["a", "b"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b"]),
        (
            {"overlay": [{"path": "etc/motd", "sha256": "1"}]},
            {"overlay": [{"path": "etc/motd", "sha256": "2"}]},
            ["overlay/etc/motd"],
        ),
        ({"packages": ["a"]}, {"packages": ["a", "b"]}, ["packages.b"]),
        ({"steps": [1, 2]}, {"steps": [1, 3]}, ["steps"]),
    ],
)
def test_differences_are_told_as_a_person_would(old: object, new: object, told: list[str]) -> None:
    assert differences(old, new) == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            {"packages": [{"name": "curl", "version": "1"}, {"name": "a", "version": "1"}]},
            {"packages": [{"name": "curl", "version": "2"}, {"name": "b", "version": "1"}]},
            ["packages/a gone", "packages/b new", "packages/curl 1 -> 2"],
        ),
        (
            {"packages": [{"name": "curl", "version": "1", "sha256": "a"}]},
            {"packages": [{"name": "curl", "version": "1", "sha256": "b"}]},
            ["packages/curl changed"],
        ),
        (
            {"programs": ["dpkg-deb 1.21", "tar (GNU tar) 1.34"]},
            {"programs": ["dpkg-deb 1.21", "tar (GNU tar) 1.35"]},
            ["programs tar (GNU tar) 1.34 -> tar (GNU tar) 1.35"],
        ),
        (
            {"overlay": [{"path": "etc/motd", "content": "1"}], "scripts": []},
            {
                "overlay": [{"path": "etc/motd", "content": "2"}],
                "scripts": [{"path": "setup", "content": "1"}],
            },
            ["overlay/etc/motd changed", "scripts/setup new"],
        ),
        ({"tree": "sha256:1"}, {"tree": "sha256:2"}, ["the tree below changed"]),
        ({"epoch": 1, "driver": "native"}, {"epoch": 2, "driver": "native"}, ["epoch 1 -> 2"]),
        ({"enable": ["a"]}, {"enable": ["b"]}, ["enable.a gone", "enable.b new"]),
        ({"text": "a\nb"}, {"text": "a\nc"}, ["text changed"]),
        ({"recommends": False}, {"recommends": True}, ["recommends false -> true"]),
    ],
)
def test_what_happened_is_told(old: object, new: object, told: list[str]) -> None:
    assert differences(old, new, told=True) == told


def test_what_a_person_changed_is_told_before_what_follows_from_it(kitchen: Kitchen) -> None:
    tools, report, _, _ = kitchen

    class Shelf(Value, frozen=True):
        tree: str
        zest: int

    def lay(inputs: Shelf, tools: Tools) -> Tree:
        return Tree(digest_of(inputs))

    stage = Stage("lay", 1, lay, Tree, lambda *_: True)
    make(stage, Shelf("sha256:1", 1), tools, slot="s")
    make(stage, Shelf("sha256:2", 2), tools, slot="s")
    assert report.told[-1] == ("runs", "zest 1 -> 2, the tree below changed")


def test_a_witness_sees_every_stage_kept_or_not(kitchen: Kitchen) -> None:
    tools, _, _, stage = kitchen
    seen: list[tuple[str, str, Value, Value]] = []
    watched = dataclasses.replace(tools, witness=lambda *told: seen.append(told))
    result = make(stage, Bread("rye"), watched, slot="s")
    make(stage, Bread("rye"), watched, slot="s")
    assert seen == [("bake", "s", Bread("rye"), result)] * 2
