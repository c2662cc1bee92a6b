"""Debian's kin: trees and templates from archives that are laid out as theirs are."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from builder.distros import TABLE, DistroRow, MirrorSettings, distro
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.lock import Asked, AskedLayer
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.stages.bootstrap import bootstrap_inputs, make_base
from builder.stages.fetch import fetch
from builder.stages.resolve import resolve
from builder.stages.tools import Tools
from builder.store import Store
from tests.support.builds.projects import project
from tests.support.hosts.namespace import in_namespace
from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven
from tests.support.packages.archive import Archive, Deb, Layout, serve

pytestmark = [
    needs("root", "archive", "program:apt-ftparchive", "program:gpg"),
    pytest.mark.usefixtures("nothing_left"),
]

RECIPE = """\
[template]
name = "{distro}-tiny"
summary = "{distro}'s minimum and two packages"

[base]
distro = "{distro}"
suite = "{suite}"
components = ["main", "universe"]

[packages]
install = ["from-universe", "renewed"]
"""


def own_packages(suite: str) -> tuple[Deb, ...]:
    """Packages for each component and pocket."""
    return (
        Deb("from-universe", suite=suite, component="universe"),
        Deb("renewed", suite=suite),
        Deb("renewed", "", "1.1", suite=f"{suite}-updates"),
        Deb("renewed", "", "1.2", suite=f"{suite}-security"),
    )


@pytest.fixture(scope="session")
def real_files(oven: Oven) -> Callable[[], Mapping[str, Path]]:
    """Give the package files of Debian's minimum, by name; they stand in for the kin's own."""

    @cache
    def files() -> Mapping[str, Path]:
        store = Store(oven.home / "cache")
        debian = distro("debian")
        asked = Asked(
            distro="debian", suite="bookworm", arch=Arch.AMD64, components=("main",), layers=()
        )
        sources = debian.sources(asked, MirrorSettings(), oven.home / "cache")
        lock = debian.resolve(asked, sources, on_host)
        tools = Tools(store, on_host, Net(Silent()), Silent(), 2)
        fetch(lock.packages, sources.mirrors, tools, recipe="kin")
        found = {Path(one.path).name: store.blob(one.sha256) for one in lock.packages}
        return {name: path for name, path in found.items() if path}

    return files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suite", "layout"),
    [
        ("ubuntu", "noble", Layout.merged("Ubuntu", "noble", "ubuntu", own_codenames=False)),
        ("devuan", "daedalus", Layout.merged("Devuan", "daedalus", "merged")),
    ],
)
def test_a_template_of_its_own(
    oven: Oven,
    disk: Path,
    real_files: Callable[[], Mapping[str, Path]],
    name: str,
    suite: str,
    layout: Layout,
) -> None:
    archive = Archive.make(disk / name, own_packages(suite), layout, real_files())
    recipe = project(disk / f"{name}-project", RECIPE.format(distro=name, suite=suite))
    settings = disk / f"{name}-config/oven/settings.toml"
    settings.parent.mkdir(parents=True)
    configured = oven.having(XDG_CONFIG_HOME=str(settings.parent.parent))
    with serve(archive.root) as mirror:
        url = f"{mirror.url}/{layout.parts[suite]}"
        settings.write_text(
            f'[archive.{name}]\nmirrors = ["{url}"]\nkeyring = "{archive.keyring}"\n'
        )
        configured("build", recipe, "--no-probe", "-o", disk)
    tarball = disk / f"{name}-tiny_amd64.tar.zst"
    lines = read(tarball, f"etc/apt/sources.list.d/{name}.sources").splitlines()
    assert f"Suites: {suite} {suite}-updates {suite}-security" in lines
    assert "Components: main universe" in lines
    assert mirror.url not in lines[1]
    status = read(tarball, "var/lib/dpkg/status")
    versions = dict(re.findall(r"^Package: (.*)\n(?:.+\n)*?Version: (.*)$", status, re.MULTILINE))
    assert (versions["from-universe"], versions["renewed"]) == ("1.0", "1.2")
    assert {"dpkg", "libc6", "apt"} <= versions.keys()


def test_the_distribution_of_the_manual(
    oven: Oven,
    disk: Path,
    real_files: Callable[[], Mapping[str, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The code of docs/how-to/add-a-distribution.md is a distribution that works."""
    text = (CHECKOUT / "docs/how-to/add-a-distribution.md").read_text()
    code, row = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    module = ModuleType("builder.distros.meridian")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, vars(module))
    for name, made in eval(f"{{{row}}}", {"DistroRow": DistroRow}).items():
        monkeypatch.setitem(cast("dict[str, DistroRow]", TABLE), name, made)

    parts = {"zenith": "meridian", "zenith-updates": "meridian", "zenith-fixes": "meridian-fixes"}
    archive = Archive.make(
        disk / "meridian",
        (Deb("fixed", suite="zenith"), Deb("fixed", "", "1.1", suite="zenith-fixes")),
        Layout("Meridian", parts),
        real_files(),
    )
    asked = Asked(
        distro="meridian",
        suite="zenith",
        arch=Arch.AMD64,
        components=("main",),
        layers=(AskedLayer(recipe="tiny", install=("fixed",)),),
    )
    store = Store(oven.home / "cache")
    tools = Tools(store, on_host, Net(Silent()), Silent(), 2)
    with serve(archive.root) as mirror:
        settings = MirrorSettings(
            mirrors={"meridian": (f"{mirror.url}/meridian",)},
            keyrings={"meridian": str(archive.keyring)},
        )
        sources = distro("meridian").sources(asked, settings, disk / "meridian-cache")
        lock = resolve(asked, sources, tools)
        fetch(lock.packages, sources.mirrors, tools, recipe="tiny")
    fixed = next(one for one in lock.packages if one.name == "fixed")
    assert (fixed.version, fixed.archive) == ("1.1", "meridian-fixes")
    inputs = bootstrap_inputs(lock, sources, "native", on_host)
    tree = store.tree(in_namespace(lambda: make_base(inputs, tools)).tree)
    assert tree
    told = (tree / "etc/apt/sources.list.d/meridian.sources").read_text()
    assert "URIs: http://archive.meridian.example/meridian-fixes\nSuites: zenith-fixes\n" in told
    assert "\nPackage: dpkg\n" in (tree / "var/lib/dpkg/status").read_text()


def read(tarball: Path, path: str) -> str:
    """Read a file of a template."""
    argv = ["tar", "--zstd", "--extract", "--to-stdout", "--file", str(tarball), f"./{path}"]
    return subprocess.run(argv, capture_output=True, check=True).stdout.decode()
