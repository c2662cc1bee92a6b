"""Projects: the files that a recipe's author wrote, and nothing that lies elsewhere."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError

# A recipe may come from a stranger, and the one who builds it may read all of the host. So the
# author's files are opened by way of the project's folder: the kernel follows links and `..` in it,
# and refuses those that lead out of it (RESOLVE_BENEATH of openat2(2)).

_KINDS = ("recipes", "appliances")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


@dataclass(frozen=True, slots=True)
class Project:
    """All that a recipe may name lies below this folder; paths given are below it too."""

    folder: Path

    def is_file(self, path: Path) -> bool:
        """Tell whether a path leads to a regular file of the project."""
        with self._told(path), TreeIO(self.folder, beneath=True) as tree:
            return tree.is_file(self._inside(path))

    def is_folder(self, path: Path) -> bool:
        """Tell whether a path leads to a folder of the project."""
        with self._told(path), TreeIO(self.folder, beneath=True) as tree:
            return tree.is_dir(self._inside(path))

    def exists(self, path: Path) -> bool:
        """Tell whether a path leads to anything in the project."""
        return self.is_folder(path) or self.is_file(path)

    @contextmanager
    def opened(self, path: Path) -> Iterator[int]:
        """Open a regular file for reading, by its descriptor; RecipeError where it cannot be."""
        with ExitStack() as stack:
            with self._told(path):
                tree = stack.enter_context(TreeIO(self.folder, beneath=True))
                fd = stack.enter_context(tree.opened(self._inside(path), follow=True))
            yield fd

    @contextmanager
    def tree(self, folder: Path) -> Iterator[TreeIO]:
        """Give access to one of its folders, whose links lead nowhere outside of that."""
        with ExitStack() as stack:
            with self._told(folder):
                tree = stack.enter_context(TreeIO(self.folder, beneath=True))
                there = stack.enter_context(tree.by_descriptor(self._inside(folder)))
                below = stack.enter_context(TreeIO(there, beneath=True))
            yield below

    def _inside(self, path: Path) -> str:
        try:
            return str(path.absolute().relative_to(self.folder))
        except ValueError:
            raise self._outside(path) from None

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise self._outside(path) from error
            raise unreadable(path, error) from error

    def _outside(self, path: Path) -> RecipeError:
        return RecipeError(
            "this leads out of the project",
            at=path,
            hint=f"what a recipe uses lies below `{self.folder}`, and links in it stay there",
        )


def project_of(recipe: Path) -> Project:
    """Tell to which project the file of a recipe or appliance belongs.

    That of PROJECT/recipes/NAME.toml and PROJECT/appliances/NAME/appliance.toml is PROJECT, and
    that of any other file its own folder.
    """
    folder = recipe.absolute().parent
    above = folder.parent if recipe.name == "appliance.toml" else folder
    return Project(above.parent if above.name in _KINDS else folder)


def unreadable(path: Path, error: OSError) -> RecipeError:
    """Make the error about an author's file that cannot be read."""
    if error.errno in _NOT_THERE:
        return RecipeError("this file is not there", at=path)
    reason = (error.strerror or str(error)).lower()
    if error.errno == errno.EINVAL:
        return RecipeError(f"this is {reason}", at=path)  # not a regular file
    return RecipeError(f"this file cannot be read: {reason}", at=path)
