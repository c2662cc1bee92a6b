"""Tables: columns line up, a terminal is not overrun, and nobody's text moves the cursor."""

import pytest

from builder.cli.terminal.table import columns, table

ROWS = [
    ("NAME", "SUBNET", "SUMMARY"),
    ("web", "10.86.0.0/24", "serves pages to those who ask for them, and says no to others"),
    ("a-name-that-is-kept-whole-whatever-comes", "-", ""),
]


def test_columns_line_up() -> None:
    assert columns([("name", "web"), ("used by", "one, two"), ("port", "")]) == [
        "name     web",
        "used by  one, two",
        "port",
    ]


def test_numbers_stand_at_the_right() -> None:
    rows = [("blobs", "7", "1.0 MB", "9 days", "packages"), ("in all", "", "12.5 MB", "", "")]
    assert columns(rows, right={1, 2, 3}) == [
        "blobs   7   1.0 MB  9 days  packages",
        "in all     12.5 MB",
    ]
    assert columns([("9", "kept"), ("10", "updated")], right={0}, gap=1) == [
        " 9 kept",
        "10 updated",
    ]


def test_a_short_row_ends_where_it_likes() -> None:
    rows = [("web", "built", "1.0 MB"), ("mail", "failed with a long tale")]
    assert columns(rows) == ["web   built  1.0 MB", "mail  failed with a long tale"]


@pytest.mark.parametrize("width", [80, 72, 66])
def test_a_table_fits_the_terminal(width: int) -> None:
    lines = table(ROWS, width=width)
    assert max(map(len, lines)) == width
    assert lines[1].endswith("…")
    assert lines[2] == f"{ROWS[2][0]}  -"
    assert lines[0].find("SUBNET") == lines[1].find("10.86") == len(ROWS[2][0]) + 2


def test_in_a_pipe_nothing_is_cut() -> None:
    assert table(ROWS)[1].endswith("no to others")


def test_there_may_be_no_rows() -> None:
    assert columns([]) == []
    assert table([]) == []


@pytest.mark.parametrize("evil", ["a\x1b[2Jb", "a\nb", "a\tb", "a\x9bb", "a\udc80b"])
def test_a_cell_is_plain_text(evil: str) -> None:
    for lines in (columns([(evil, "x")]), table([("A", "B"), ("x", evil)])):
        assert all(line.isprintable() for line in lines)
        assert "a\N{REPLACEMENT CHARACTER}" in "".join(lines)
