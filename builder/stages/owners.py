"""Owners: those of a recipe's volumes are in the tree, with the numbers that are said."""

from builder.model.errors import StageError
from builder.model.value import Digest, Value
from builder.model.volume import VolumeSpec
from builder.stages.install import tree_of
from builder.stages.stage import Stage
from builder.stages.tools import Tools
from builder.store import Store


class OwnersCheck(Value, frozen=True, kw_only=True):
    """All that decides whether volumes can belong to whom they shall."""

    tree: Digest
    volumes: tuple[VolumeSpec, ...]


class OwnersFine(Value, frozen=True):
    """What is known once they can."""


def check_owners(inputs: OwnersCheck, tools: Tools) -> OwnersFine:
    """Look the owners up; raises AskedError."""
    from builder.host.trees.treeio import TREES_FAULT, TreeIO  # a build that changes nothing
    from builder.stages.tree import pins  # has no use for them

    try:
        with TreeIO(tree_of(inputs.tree, tools.store)) as tree:
            pins.check_owners(inputs.volumes, tree)
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
        raise StageError("the tree's table of accounts cannot be read") from error
    return OwnersFine()


def _held(result: OwnersFine, store: Store) -> bool:
    del result, store
    return True


OWNERS = Stage("owners", 1, check_owners, OwnersFine, _held)
