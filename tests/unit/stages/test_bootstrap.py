"""What decides a base tree: programs of the host are asked for their versions once."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.distros import ArchiveSources
from builder.host.network.downloads import Net
from builder.host.programs import Command, Done, on_host
from builder.model.lock import Asked, Lock
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import digest_of
from builder.stages.bootstrap import bootstrap_inputs
from builder.stages.tools import Tools
from builder.store import Store

ASKED = Asked(
    distro="debian", suite="bookworm", arch=Arch.AMD64, components=("main",), layers=()
)  # fmt: skip
LOCK = Lock(recipe=digest_of("it"), asked=ASKED, epoch=0, releases=(), packages=())


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\necho one\n")
    path.chmod(0o755)
    return path


def test_a_program_is_asked_again_when_it_is_another(tmp_path: Path, program: Path) -> None:
    asked: list[Command] = []

    def run(command: Command) -> Done:
        asked.append(command)
        return on_host(command)

    tools = Tools(Store(tmp_path / "store"), run, Net(Silent()), Silent(), 1)
    programs = {"native": ((str(program), "--version"),)}
    sources = ArchiveSources(mirrors={}, keyring=tmp_path, cache=tmp_path, programs=programs)

    def told() -> tuple[str, ...]:
        again = replace(tools, store=Store(tmp_path / "store"))
        return bootstrap_inputs(LOCK, sources, "native", again).programs

    assert [told(), told()] == [("one",), ("one",)]
    assert len(asked) == 1
    new = program.with_name("new")
    new.write_text("#!/bin/sh\necho two\n")
    new.chmod(0o755)
    new.rename(program)
    assert told() == ("two",)
