"""The distributions of the RPM family are declared in full, and the shipped recipes fit them."""

import re
from pathlib import Path

import pytest

from builder.distros import SUITES, distro
from builder.distros.rpm.family import Rpm
from builder.model.recipe import Arch
from builder.recipes.load import load_file
from builder.recipes.request import asked_for, base_of
from tests.support.oven import CHECKOUT

NAMES = ("almalinux", "centos-stream", "fedora", "rockylinux")
RECIPES = sorted((CHECKOUT / "recipes").glob("*.toml"))


def known(name: str) -> Rpm:
    found = distro(name)
    assert isinstance(found, Rpm)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_release_has_pinned_keys(name: str) -> None:
    declared = known(name).declaration
    assert declared.name == name
    assert tuple(declared.suites) == SUITES[name]
    for suite in declared.suites.values():
        assert suite.keys
        assert all(re.fullmatch("[0-9A-F]{40}", key) for key in suite.keys)
        assert all(suite.keys.values())


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_signed_or_vouched_for(name: str) -> None:
    declared = known(name).declaration
    assert declared.mirror.startswith("https://")
    for one in declared.repositories:
        assert declared.signed or one.metalink.startswith("https://")
        for text in (one.path, one.metalink):
            assert "{" not in text.format(suite="1", machine="m")


@pytest.mark.parametrize("name", NAMES)
def test_there_are_recipes_for_it(name: str) -> None:
    shipped = {path.stem for path in RECIPES}
    assert {f"{name}-{suite}" for suite in SUITES[name][-2:]} <= shipped


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_ask_for_what_there_is(path: Path) -> None:
    loaded = load_file(path)
    base = base_of(loaded)
    assert base.suite in SUITES[base.distro]
    for arch in base.arch:
        asked = asked_for(loaded, Arch(arch))
        if asked.distro in NAMES:
            declared = known(asked.distro).declaration
            assert path.stem == f"{asked.distro}-{asked.suite}"
            assert arch in declared.machines
            assert set(asked.components) <= set(declared.components)
