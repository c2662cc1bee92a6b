"""Blame: who put into a tree what must not be there, and where a recipe says so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.host.trees.treeio import NOTHING, TreeIO
from builder.model.errors import Span
from builder.model.package_words import read_word
from builder.stages.check import LeaksError, Step
from builder.stages.customize import Customization
from builder.stages.tree.leaks import Leak, leaks_at
from builder.store import Store

# All this is only looked for once a template is refused: the trees of all steps are in the store,
# and the first that has a leak tells whose it is.

_INFO = "var/lib/dpkg/info"
_SCRIPTS = (".postinst", ".preinst", ".config", ".postrm")
_LARGEST = 1 << 26


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made something: in words, and where a recipe asks for it."""

    words: str
    at: Span | None = None


def explain(error: LeaksError, steps: Sequence[Step], store: Store) -> None:
    """Have an error say who made each leak, and what to write."""
    makers = [maker_of(leak, steps, store) for leak in error.found]
    pairs = zip(error.found, makers, strict=True)
    error.output = "\n".join(f"{leak}: {maker.words}" for leak, maker in pairs)
    error.at = next((maker.at for maker in makers if maker.at), None)
    error.hint = _hint(error.found[0])


def _hint(leak: Leak) -> str:
    stay = f'`[[allow]]` with `path = "/{leak.path}"` and a reason lets it stay'
    if leak.kind == "password":
        return (
            "passwords are for containers: `--root-password-file` and `--first-boot` of"
            f" `oven create` give them one; `passwd -l` in a script takes it away; {stay}"
        )
    return (
        f'have each container make its own: `[[first-boot]]` with `makes = ["/{leak.path}"]`'
        f" removes it here, and so may a script; {stay}"
    )


def maker_of(leak: Leak, steps: Sequence[Step], store: Store) -> Maker:
    """Find out who made a leak."""
    for step in reversed(steps):
        if (found := _laid_by(step, leak.path)) is not None:
            return found
    for step in steps:
        folder = store.tree(step.tree)
        if folder is None:
            continue  # somebody has pruned it since
        with TreeIO(folder) as tree:
            if leak not in leaks_at(tree, leak.path):
                continue
            if step.changes is not None:
                return _of_recipe(step, step.changes)
            return _of_packages(step, leak.path, tree)
    return Maker("nobody knows whose it is")


def _laid_by(step: Step, path: str) -> Maker | None:
    """Name the overlay's or fetched file that it is."""
    if step.changes is None:
        return None
    source, name = step.loaded.source, step.loaded.name
    for entry in step.changes.overlay:
        if entry.path == path:
            at = Span(step.loaded.folder / entry.source)
            return Maker(f"`{entry.source}` of `{name}`", at)
    for index, file in enumerate(step.changes.fetched):
        if path == file.path or (file.extract and path.startswith(f"{file.path}/")):
            at = source.value("fetch", index, "path")
            return Maker(f"what `[[fetch]]` of `{name}` brings", at)
    return None


def _of_recipe(step: Step, changes: Customization) -> Maker:
    name, scripts = step.loaded.name, [f"`{one.path}`" for one in changes.scripts]
    if not scripts:
        return Maker(f"what `{name}` adds besides packages")
    at = step.loaded.source.value("script", 0, "path")
    if len(scripts) == 1:
        return Maker(f"the script {scripts[0]} of `{name}`", at)
    return Maker(f"one of the scripts {', '.join(scripts)} of `{name}`")


def _of_packages(step: Step, path: str, tree: TreeIO) -> Maker:
    """Ask dpkg's database; others do not say whose a file is without their own programs."""
    if not tree.is_dir(_INFO):
        return Maker(f"the packages of `{step.loaded.name}`")
    names = tree.listdir(_INFO)
    for told, found in (
        ("a file of the package", _owners(tree, names, path)),
        ("a maintainer script of the package", _who_write(tree, names, path)),
        ("something of the package", _nearest(tree, names, path)),
    ):
        if found:
            packages = " or ".join(f"`{one}`" for one in found)
            return Maker(f"{told} {packages}", _asked(step, found))
    return Maker(f"a maintainer script of the packages of `{step.loaded.name}`")


def _asked(step: Step, packages: Sequence[str]) -> Span | None:
    install = [read_word(text).name for text in step.loaded.recipe.packages.install]
    for package in packages:
        if package in install:
            return step.loaded.source.value("packages", "install", install.index(package))
    return None


def _owners(tree: TreeIO, names: Sequence[str], path: str) -> list[str]:
    """Name the packages that have a path."""
    line = f"/{path}".encode()
    return [
        package
        for package, data in _read(tree, names, (".list",))
        if line in data and line in data.splitlines()
    ]


def _who_write(tree: TreeIO, names: Sequence[str], path: str) -> list[str]:
    """Name the packages whose maintainer scripts speak of a path."""
    word = f"/{path}".encode()
    return sorted({name for name, data in _read(tree, names, _SCRIPTS) if word in data})


def _nearest(tree: TreeIO, names: Sequence[str], path: str) -> list[str]:
    """Name the package in whose own folder a path is, if that is one package's alone."""
    folder = str(Path(path).parent)
    while folder.count("/") >= 1:
        if found := _owners(tree, names, folder):
            return found if len(found) == 1 else []
        folder = str(Path(folder).parent)
    return []


def _read(
    tree: TreeIO, names: Sequence[str], endings: tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name.endswith(endings):
            try:
                data = tree.read_bytes(f"{_INFO}/{name}", _LARGEST)
            except OSError as error:
                if error.errno not in NOTHING:
                    raise
                continue
            yield name.rpartition(".")[0].partition(":")[0], data
