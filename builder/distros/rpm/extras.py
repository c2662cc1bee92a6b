"""What rpm is told to leave out of packages, by macros that the template's own rpm has as well."""

from builder.host.trees.treeio import TreeIO
from builder.model.extras import Extras

FILE = "etc/rpm/macros.oven"
"""In a tree: rpm reads all of /etc/rpm/macros.* there. Licenses are no documentation to it."""

_NONE = "C"
"""The language that no translation is for."""
_LARGE = 1 << 16


def macros(extras: Extras) -> str:
    """Say it as rpm's macros; nothing where all comes along."""
    lines = "" if extras.documentation else "%_excludedocs 1\n"
    if extras.languages is not None:
        lines += f"%_install_langs {':'.join(extras.languages) or _NONE}\n"
    return lines


def macros_in(tree: TreeIO) -> str:
    """Read what a tree says; the host's rpm, which installs into it, does not."""
    if not tree.is_file(FILE):
        return ""
    return tree.read_bytes(FILE, _LARGE).decode(errors="replace")


def lay_macros(text: str, tree: TreeIO) -> None:
    """Have the tree's rpm do the same from now on."""
    if text:
        tree.mkdir(FILE.rpartition("/")[0])
        tree.write_bytes(FILE, text.encode())
