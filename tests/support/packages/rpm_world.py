"""A Rocky Linux so small that a build takes seconds: a shell, in packages that rpm takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.builds.miniature import SHELL, programs
from tests.support.oven import Oven
from tests.support.packages.archive import Mirror
from tests.support.packages.rpm_archive import DIRS, MINIMUM, Rpm, RpmArchive

RECIPE = """\
[template]
name = "rocky"

[base]
distro = "rockylinux"
suite = "9"
arch = ["amd64"]
"""

LAYER = """\
from = "rocky"

[template]
name = "{name}"

[packages]
install = [{packages}]
"""


@dataclass(frozen=True)
class RpmWorld:
    """A project, the archive that it is built from, and a command that knows of it."""

    folder: Path
    archive: RpmArchive
    oven: Oven

    def recipe(self, name: str, *packages: str) -> Path:
        """Write a recipe that has some packages on top of the smallest system."""
        listed = ", ".join(f'"{one}"' for one in packages or (name,))
        path = self.folder / f"recipes/{name}.toml"
        path.write_text(LAYER.format(name=name, packages=listed))
        return path

    def said(self, name: str, *packages: str, code: int = 0) -> str:
        """Build such a recipe, and give what was told."""
        recipe = self.recipe(name, *packages)
        return self.oven.said("build", "--no-probe", recipe, "-o", self.folder / "out", code=code)


def small_system(tree: Path) -> tuple[Rpm, ...]:
    """Fill a folder with a shell and its kin, and give the packages of all that."""
    programs(tree, SHELL)
    for path in (*DIRS, "/dev", "/proc", "/sys"):
        (tree / path[1:]).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    files = tuple(f'"/{path.relative_to(tree)}"' for path in sorted(_files(tree)))
    return tuple(
        replace(one, arch="x86_64", files=files) if one.name == "bash" else one for one in MINIMUM
    )


def _files(tree: Path) -> Iterable[Path]:
    return (path for path in tree.rglob("*") if path.is_symlink() or path.is_file())


def rpm_world(folder: Path, mirror: Mirror, archive: RpmArchive) -> RpmWorld:
    """Make a home that knows nothing yet, and that asks that mirror."""
    for name in ("recipes", "home", "config/oven"):
        (folder / name).mkdir(parents=True)
    (folder / "recipes/rocky.toml").write_text(RECIPE)
    settings = folder / "config/oven/settings.toml"
    settings.write_text(
        f'[archive.rockylinux]\nmirrors = ["{mirror.url}"]\nkeyring = "{archive.keyring}"\n'
    )
    return RpmWorld(
        folder, archive, Oven(folder / "home", env={"XDG_CONFIG_HOME": str(folder / "config")})
    )


def make_archive(folder: Path, more: Sequence[Rpm]) -> RpmArchive:
    """Make an archive of the small system and further packages."""
    tree = folder / "tree"
    return RpmArchive.make(folder / "archive", (*small_system(tree), *more), tree=tree)
