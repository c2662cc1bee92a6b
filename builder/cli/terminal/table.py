"""Tables of plain text: columns as wide as what is in them, and cut only to fit the terminal."""

import shutil
import sys
from collections.abc import Collection, Sequence

from builder.model.visible import visible

_NARROWEST = 8
_GAP = 2

Rows = Sequence[Sequence[str]]


def table(rows: Rows, *, right: Collection[int] = (), width: int | None = None) -> list[str]:
    """Lay out rows of cells, the first of them the headings; the first column is never cut.

    In a pipe nothing is cut.
    """
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    cells = _cells(rows)
    widths = _widths(cells)
    while width is not None and sum(widths) + _GAP * (len(widths) - 1) > width:
        widest = max(range(1, len(widths)), key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return [_line([_cut(*one) for one in zip(row, widths, strict=False)], widths, right, _GAP)
            for row in cells]  # fmt: skip


def columns(rows: Rows, *, right: Collection[int] = (), gap: int = _GAP) -> list[str]:
    """Lay out rows of which all is to be read, such as names with their values.

    A row with fewer cells than others ends where its last one does.
    """
    cells = _cells(rows)
    widths = _widths(cells)
    return [_line(row, widths, right, gap) for row in cells]


def _cells(rows: Rows) -> list[list[str]]:
    return [[visible(cell) for cell in row] for row in rows]


def _widths(rows: list[list[str]]) -> list[int]:
    widths = [0] * max(map(len, rows), default=0)
    for row in rows:
        for column, cell in enumerate(row):
            if column + 1 < len(row) or len(row) == len(widths):
                widths[column] = max(widths[column], len(cell))
    return widths


def _line(row: list[str], widths: list[int], right: Collection[int], gap: int) -> str:
    cells = (
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=False))
    )
    return (" " * gap).join(cells).rstrip()


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"
