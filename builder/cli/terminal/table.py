"""Tables of plain text that fit the terminal."""

import shutil
import sys
from collections.abc import Sequence

_NARROWEST = 8
_GAP = 2


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Lay out rows of cells, the first of them the headings; the first column is never cut.

    In a pipe nothing is cut.
    """
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while width is not None and sum(widths) + _GAP * (len(widths) - 1) > width:
        widest = max(range(1, len(widths)), key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return [(" " * _GAP).join(map(_fit, row, widths)).rstrip() for row in rows]


def _fit(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"
