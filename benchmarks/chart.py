"""Draws comparisons as bars in one SVG picture."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.runner import Comparison, Row, tell

BUILDING = "Oven beside mmdebstrap, debootstrap and mkosi; shorter is better"
WIDTH = 860
LEFT = 270
"""Where bars start; their names end before it."""
RIGHT = 150
"""Room for what is told behind a bar."""
BAR, GAP, PANEL, EDGE = 18, 6, 30, 24
"""Heights of a bar, between two, between panels, and the picture's edge."""

OURS, THEIRS, BASELINE = "#c2410c", "#94a3b8", "#475569"
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1e293b}"
    ".title{font-weight:600;font-size:15px}.quiet{fill:#64748b}.name{text-anchor:end}"
)


def draw(comparisons: Sequence[Comparison], title: str = BUILDING) -> str:
    """Draw a panel for each comparison; bars in one panel share a scale."""
    parts: list[str] = []
    y = EDGE
    for comparison in comparisons:
        panel = list(_panel(comparison, y))
        parts += panel
        y += _height(comparison) + PANEL
    height = y - PANEL + EDGE
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _height(comparison: Comparison) -> int:
    return 30 + len(comparison.rows) * (BAR + GAP) + 20 * bool(comparison.goals)


def _panel(comparison: Comparison, top: int) -> Iterator[str]:
    yield _text(EDGE, top + 14, comparison.title, "title")
    longest = max(row.median for row in comparison.rows)
    y = top + 30
    for number, row in enumerate(comparison.rows):
        color = OURS if is_ours(row) else THEIRS if number else BASELINE
        length = max(2.0, row.median / longest * (WIDTH - LEFT - RIGHT))
        yield _text(LEFT - 10, y + 14, row.name, "name")
        yield (
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{color}"/>'
        )
        told = tell(row.median, comparison.unit)
        ratio = f" · {row.ratio:.2f}" if number else ""
        yield _text(round(LEFT + length + 8), y + 14, told + ratio)
        y += BAR + GAP
    if comparison.goals:
        yield _text(LEFT, y + 12, "goal: " + ", ".join(comparison.goals), "quiet")


def is_ours(row: Row) -> bool:
    """Tell whether a row is Oven's."""
    return row.name.split(",")[0] == "oven"


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    shown = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{shown}>{escape(text)}</text>'
