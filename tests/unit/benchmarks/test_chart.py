"""Charts: bars as long as what they stand for."""

from xml.etree import ElementTree as ET

import pytest

from benchmarks.chart import OURS, draw
from benchmarks.runner import Comparison, rows

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def picture() -> ET.Element:
    taken = {"peer": [8.0, 9.0, 20.0], "oven": [3.0], "oven, <warm> & more": [0.009]}
    found = Comparison("A & B", 3, rows(taken), ("oven at most 0.40 of peer",))
    memory = Comparison("Memory", 1, rows({"peer": [50.0], "oven": [100.0]}), (), "MB")
    return ET.fromstring(draw([found, memory]))


def texts(picture: ET.Element) -> list[str | None]:
    return [one.text for one in picture.iter(f"{SVG}text")]


def bars(picture: ET.Element) -> list[tuple[float, str | None]]:
    found = [one for one in picture.iter(f"{SVG}rect") if one.get("x")]
    return [(float(one.get("width", "")), one.get("fill")) for one in found]


def test_each_panel_has_a_scale_of_its_own(picture: ET.Element) -> None:
    widths = [width for width, _ in bars(picture)]
    assert widths[0] == widths[4] == max(widths)
    assert widths[1] == pytest.approx(widths[0] / 3, abs=0.1)
    assert widths[3] == pytest.approx(widths[4] / 2, abs=0.1)


def test_what_is_short_can_still_be_seen(picture: ET.Element) -> None:
    assert bars(picture)[2][0] >= 2


def test_only_our_own_bars_are_colored(picture: ET.Element) -> None:
    assert [fill == OURS for _, fill in bars(picture)] == [False, True, True, False, True]


def test_names_values_ratios_and_goals_are_told(picture: ET.Element) -> None:
    told = texts(picture)
    assert told[:7] == [
        "A & B",
        "peer",
        "9.00 s",
        "oven",
        "3.00 s · 0.33",
        "oven, <warm> & more",
        "9.0 ms · 0.00",
    ]
    assert "goal: oven at most 0.40 of peer" in told
    assert "100 MB · 2.00" in told


def test_nothing_is_drawn_outside(picture: ET.Element) -> None:
    height = float(picture.get("height", ""))
    ends = [float(one.get("y", "0")) for one in picture.iter() if one.get("y")]
    assert max(ends) < height
