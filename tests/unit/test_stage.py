"""Stages are remembered by the value they get, and say why they run."""

from pathlib import Path

import pytest

from builder.host.net import Net
from builder.host.process import on_host
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
    assert report.told[-1] == ("runs", "grams changed")
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
