"""The index of info pages: in the order of the alphabet, not of the folder that they lie in."""

from builder.host.trees.treeio import TreeIO
from builder.stages.tree.rewriting import rewrite

# install-info(1) adds each page's entries to a section, and new sections at the end; Debian's
# update-info-dir has it do so in the order in which find(1) comes upon the pages.

FILE = "usr/share/info/dir"
_MENU = "* Menu:"
_MOST = 16 << 20


def sort_index(tree: TreeIO) -> None:
    """Sort the sections, and the entries of each."""
    rewrite(tree, FILE, _MOST, _sorted)


def _sorted(data: bytes) -> bytes | None:
    """Sort what follows the menu's line; None where it does not look like an index."""
    head, menu, rest = data.decode(errors="surrogateescape").partition(f"\n{_MENU}")
    line, _, body = rest.partition("\n")
    if not menu:
        return None
    sections = [block.strip("\n").split("\n") for block in body.split("\n\n") if block.strip()]
    if not all(map(_is_section, sections)) or not any(len(one) > 1 for one in sections):
        return None  # base-files' own has a section with nothing in it
    blocks = (
        "".join(f"{one}\n" for one in (section[0], *sorted(_entries(section[1:]), key=_key)))
        for section in sorted(sections, key=lambda section: _key(section[0]))
    )
    text = f"{head}{menu}{line}\n\n" + "\n".join(blocks)
    return text.encode(errors="surrogateescape")


def _is_section(lines: list[str]) -> bool:
    """Tell whether it is a title with entries below it, some of more lines than one."""
    below = lines[1:]
    return not lines[0].startswith(("* ", " ", "\t")) and all(
        line.startswith("* " if number == 0 else ("* ", " ", "\t"))
        for number, line in enumerate(below)
    )


def _entries(lines: list[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if line.startswith("* "):
            found.append(line)
        else:
            found[-1] += f"\n{line}"
    return found


def _key(text: str) -> tuple[str, str]:
    return text.lower(), text
