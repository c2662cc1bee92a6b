"""Check: the final tree of a build has no secrets and identities for its containers to share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.model.errors import StageError
from builder.model.value import Digest, Value
from builder.recipes.loaded import LoadedRecipe
from builder.stages.customize import Customization
from builder.stages.install import tree_of
from builder.stages.stage import Stage
from builder.stages.tools import Tools
from builder.store import Store

if TYPE_CHECKING:
    from builder.stages.tree.leaks import Leak

# It comes once, after the last layer's scripts: any recipe may cure what packages and the layers
# below have left.


class Check(Value, frozen=True, kw_only=True):
    """All that decides whether the tree may become a template."""

    tree: Digest
    allowed: tuple[str, ...] = ()
    """Paths, relative to the tree's root, that may have some, they or what is below them."""


class Checked(Value, frozen=True):
    """What a tree has and may have, in words."""

    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A tree that a build has made on its way, and of what."""

    tree: Digest
    loaded: LoadedRecipe
    changes: Customization | None = None
    """What a recipe adds besides packages; without it, packages or a tarball made the tree."""


class LeaksError(StageError):
    """A tree has secrets or identities."""

    def __init__(self, found: "list[Leak]") -> None:
        super().__init__(
            "the template would carry secrets that all its containers share",
            output="\n".join(map(str, found)),
        )
        self.found = found


def check(inputs: Check, tools: Tools) -> Checked:
    """Look through a tree; raises LeaksError."""
    from builder.host.trees.treeio import TREES_FAULT, TreeIO  # a build that changes nothing
    from builder.stages.tree.leaks import leaks  # has no use for them

    try:
        with TreeIO(tree_of(inputs.tree, tools.store)) as tree:
            found = leaks(tree)
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
        raise StageError(
            f"the tree cannot be searched for secrets: `{error.filename}`: "
            f"{(error.strerror or '').lower()}",
            hint="a package, an overlay or a script has put something unexpected there",
        ) from error
    allowed = [leak for leak in found if _is_allowed(leak.path, inputs.allowed)]
    if refused := [leak for leak in found if leak not in allowed]:
        raise LeaksError(refused)
    return Checked(tuple(map(str, allowed)))


def _is_allowed(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in allowed)


def _held(result: Checked, store: Store) -> bool:
    del result, store  # words alone, which are kept with the note
    return True


CHECK = Stage("check", 1, check, Checked, _held)
