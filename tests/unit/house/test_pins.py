"""What pip installs is pinned with hashes, and the bounds of pyproject.toml are those that run."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.oven import CHECKOUT

PINS = CHECKOUT / ".ci/pins"
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def pins(name: str) -> dict[str, Version]:
    """Read one file of pins; each of its entries must have a hash."""
    text = (PINS / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    assert lines
    assert all("--hash=sha256:" in line for line in lines)
    found = [Requirement(line.partition("--hash")[0]) for line in lines]
    return {one.name: Version(str(one.specifier).removeprefix("==")) for one in found}


def requirements() -> list[Requirement]:
    return [Requirement(line) for line in PROJECT["project"]["dependencies"]]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda one: one.name)
def test_bounds_are_what_is_tried(requirement: Requirement) -> None:
    bounds = {one.operator: Version(one.version) for one in requirement.specifier}
    assert bounds.keys() == {">=", "<"}
    assert pins("oldest")[requirement.name] == bounds[">="]
    newest = pins("run")[requirement.name]
    assert newest == pins("dev")[requirement.name]
    assert newest in requirement.specifier
    # Nothing is allowed but the series of the newest one that was tried.
    series = newest.release[: len(bounds["<"].release)]
    assert bounds["<"].release == (*series[:-1], series[-1] + 1)


def test_tools_have_pins() -> None:
    tools = [
        *PROJECT["project"]["optional-dependencies"]["dev"],
        *PROJECT["build-system"]["requires"],
    ]
    pinned = pins("dev")
    for tool in map(Requirement, tools):
        assert pinned[tool.name] in tool.specifier


def test_the_fuzzer_has_a_pin() -> None:
    pinned = pins("fuzz")
    for tool in map(Requirement, PROJECT["dependency-groups"]["fuzz"]):
        assert pinned[tool.name] in tool.specifier
