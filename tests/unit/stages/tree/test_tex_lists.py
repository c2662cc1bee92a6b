"""TeX's lists are the same in whatever order the folders were read."""

from pathlib import Path

from builder.host.trees.treeio import TreeIO
from builder.stages.tree.tex_lists import FOLDER, sort_lists

HEAD = "% ls-R -- filename database for kpathsea; do not change this line.\n"


def lists(folder: Path, **files: str) -> dict[str, str]:
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name.replace("_", "-")).write_text(text)
    with TreeIO(folder) as tree:
        sort_lists(tree, keep=frozenset({f"{FOLDER}/ls-R-KEPT"}))
    return {path.name: path.read_text() for path in place.iterdir()}


def test_files_and_fonts_are_sorted(tmp_path: Path) -> None:
    one = f"{HEAD}./:\nweb2c\nls-R\n\n./web2c:\nb.fmt\na.fmt\n\n./tex:\nx\n"
    other = f"{HEAD}./:\nls-R\nweb2c\n\n./tex:\nx\n\n./web2c:\na.fmt\nb.fmt\n"
    assert lists(tmp_path, ls_R=one)["ls-R"] == other
    assert lists(tmp_path, ls_R=other)["ls-R"] == other


def test_what_is_something_else_stays(tmp_path: Path) -> None:
    texts = {"ls_R_TEXMFMAIN": "empty\n", "ls_R_KEPT": "./b:\n\n./a:\n", "other": "b\na\n"}
    found = lists(tmp_path, **texts)
    assert found == {name.replace("_", "-"): text for name, text in texts.items()}


def test_fonts_are_sorted_below_their_heading(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    path = tmp_path / FOLDER / "updmap.cfg-TEXLIVEDIST"
    path.write_text("# Z\n# A\nMixedMap cm.map\nMap b.map\n")
    lists(tmp_path)
    assert path.read_text() == "# Z\n# A\nMap b.map\nMixedMap cm.map\n"
