"""The index of info pages is the same in whatever order the pages were added."""

from pathlib import Path

import pytest

from builder.host.trees.treeio import TreeIO
from builder.stages.tree.info_index import FILE, sort_index

HEAD = "-*- Text -*-\nThe topmost node.\n\n* Menu: The list of major topics begins below.\n"
TEXT = "Text\n* Grep: (grep).    Find lines.\n* Awk: (gawk).     A language.\n"
BASICS = (
    "Basics\n* Tar: (tar).                   Archives\n                                and tapes.\n"
    "* Bash: (bash).                 The shell.\n"
)
SORTED = (
    f"{HEAD}\nBasics\n* Bash: (bash).                 The shell.\n"
    "* Tar: (tar).                   Archives\n                                and tapes.\n"
    "\nText\n* Awk: (gawk).     A language.\n* Grep: (grep).    Find lines.\n"
)


def sorted_index(folder: Path, text: str) -> str:
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o640)
    with TreeIO(folder) as tree:
        sort_index(tree)
    assert path.stat().st_mode & 0o777 == 0o640
    return path.read_text()


def test_sections_and_entries_are_sorted(tmp_path: Path) -> None:
    assert sorted_index(tmp_path, f"{HEAD}\n{TEXT}\n{BASICS}") == SORTED
    assert sorted_index(tmp_path, f"{HEAD}\n{BASICS}\n{TEXT}") == SORTED
    assert sorted_index(tmp_path, SORTED) == SORTED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no menu\n",
        f"{HEAD}\n\nGeneral Commands\n\n",
        f"{HEAD}\n* Lone: (lone).\n",
        f"{HEAD}\nTitle\n  indented\n",
        f"{HEAD}\nTitle\n* A: (a).\nwords between\n* B: (b).\n",
    ],
)
def test_what_is_no_index_stays_as_it_is(tmp_path: Path, text: str) -> None:
    assert sorted_index(tmp_path, text) == text


def test_none_is_needed(tmp_path: Path) -> None:
    with TreeIO(tmp_path) as tree:
        sort_index(tree)
    assert list(tmp_path.iterdir()) == []
