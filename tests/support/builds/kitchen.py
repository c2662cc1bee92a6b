"""A kitchen of one's own: a store with a base tree, and the folder of a recipe to customize it."""

from pathlib import Path

import msgspec
import pytest

from builder.appliance.variables import Variables
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.errors import OvenError
from builder.model.lock import Package
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.recipe.content import Script
from builder.model.value import Digest
from builder.recipes.project import Project
from builder.stages.customize import Customization, customize
from builder.stages.install import Installation, install
from builder.stages.tools import Tools
from builder.stages.tree.overlay_files import read_overlay
from builder.stages.tree.scripts import read_given, read_scripts
from builder.store import Store
from tests.support.trees.base_trees import EPOCH, linked_copy, make_package

VARIABLES = Variables(
    parameters={"title": "Hello", "https": False},
    template={"name": "web", "summary": "A web server"},
    base={"distro": "debian", "suite": "bookworm", "arch": "amd64"},
)


class Kitchen:
    """A store with the base tree in it, and a recipe's folder."""

    def __init__(self, folder: Path, store: Store, base: Digest) -> None:
        self.store = store
        self.base = base
        self.recipe = folder / "recipe"
        (self.recipe / "overlay").mkdir(parents=True)
        self.tools = Tools(store, on_host, Net(Silent()), Silent(), 2)
        self._folder = folder

    @classmethod
    def new(cls, folder: Path, base: Path) -> "Kitchen":
        """Make one with a store of its own."""
        store = Store(folder / "store")
        return cls(folder, store, store.keep_tree(linked_copy(base, folder / "copy"), epoch=EPOCH))

    def package(self, name: str, *, depends: str = "", **files: str) -> Package:
        return make_package(self._folder, self.store, name, depends=depends, files=files)

    def write(self, path: str, text: str) -> None:
        file = self.recipe / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def inputs(self, *scripts: str | Script, **more: object) -> Customization:
        wanted = tuple(Script(path=one) if isinstance(one, str) else one for one in scripts)
        project = Project(self.recipe)
        inputs = Customization(
            tree=self.base,
            overlay=read_overlay(self.recipe / "overlay", self.store, project),
            scripts=read_scripts(wanted, self.recipe, self.store, project),
            given=read_given(wanted, self.recipe, self.store, project),
            variables=VARIABLES,
            epoch=EPOCH,
        )
        return msgspec.structs.replace(inputs, **more)

    def installation(self, *packages: Package) -> Installation:
        return Installation(
            tree=self.base,
            distro="debian",
            suite="bookworm",
            arch=Arch.AMD64,
            packages=packages,
            epoch=EPOCH,
        )

    def install(self, *packages: Package) -> Digest:
        return install(self.installation(*packages), self.tools).tree

    def cook(
        self, *scripts: str | Script, packages: tuple[Package, ...] = (), **more: object
    ) -> Path:
        if packages:
            more["tree"] = self.install(*packages)
        tree = self.store.tree(customize(self.inputs(*scripts, **more), self.tools).tree)
        assert tree is not None
        return tree

    def refused(
        self, *scripts: str | Script, packages: tuple[Package, ...] = (), **more: object
    ) -> OvenError:
        before = set((self.store.root / "trees").iterdir())
        with pytest.raises(OvenError) as caught:
            self.cook(*scripts, packages=packages, **more)
        assert set((self.store.root / "trees").iterdir()) == before
        assert list((self.store.root / "drafts").iterdir()) == []
        assert str(self.store.root) not in Path("/proc/self/mounts").read_text()
        return caught.value
