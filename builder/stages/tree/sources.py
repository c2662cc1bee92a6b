"""Sources: what a tree's own package manager is told of further archives, and of what to hold."""

import os
import re
from collections.abc import Mapping

from builder.host.programs import Command
from builder.host.sandbox.sandbox import Inside
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import RecipeError
from builder.stages.tree.asked import AskedError

_UNKNOWN = re.compile(r"package not in [^\n]* at line ([0-9]+)")
"""How dpkg warns of a package that it does not know."""


def lay_sources(files: Mapping[str, bytes], tree: TreeIO) -> None:
    """Write the files, by path, in place of what a package may have put there."""
    for path, data in files.items():
        try:
            tree.mkdir(os.path.dirname(path))  # noqa: PTH120  # a path in the tree
            tree.write_bytes(path, data)
        except OSError as error:
            if error.errno not in TREES_FAULT:
                raise
            why = (error.strerror or str(error)).lower()
            raise RecipeError(
                f"cannot put `/{path}` into the tree: {why}",
                hint="a package has something of another kind in its way; `keep = false` leaves"
                " the repository out of the template",
            ) from error


def hold_packages(names: tuple[str, ...], run: Inside) -> None:
    """Have dpkg know which packages stay as they are, as `apt-mark hold` does (apt-mark(8))."""
    if names:
        lines = "".join(f"{name} hold\n" for name in names)
        command = Command(("dpkg", "--set-selections"), stdin=lines.encode())
        done = run.require(command, "dpkg holds no packages")
        # What a tarball has, only dpkg knows; of a lock's packages there is an error before.
        if unknown := _UNKNOWN.search(done.output):
            index = int(unknown[1]) - 1
            problem = f"the template has no package `{names[index]}` to hold"
            raise AskedError(problem, ("packages", "hold", index), hint="take it out")
