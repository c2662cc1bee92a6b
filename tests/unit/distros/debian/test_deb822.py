"""deb822: fields and paragraphs as dpkg and apt write them."""

import pytest

from builder.distros.debian.deb822 import fields_of, paragraphs

STATUS = """\
Package: a
Status: install ok installed
Conffiles:
 /etc/a 0123
 /etc/b 4567 obsolete
Description: short
 Long: not a field
 .
 end

package: b
VERSION:1:2-3
Empty:
"""


def test_fields_have_their_lines() -> None:
    one, two = paragraphs(STATUS)
    assert one["conffiles"] == "\n /etc/a 0123\n /etc/b 4567 obsolete"
    assert one["description"] == "short\n Long: not a field\n .\n end"
    assert list(one) == ["package", "status", "conffiles", "description"]
    assert two == {"package": "b", "version": "1:2-3", "empty": ""}


@pytest.mark.parametrize("between", ["\n\n", "\n\n\n\n", "\n \n", "\n\t \n\n", "\n\r\n"])
@pytest.mark.parametrize("around", ["", "\n", "\n\n"])
def test_paragraphs_are_parted_by_empty_lines(between: str, around: str) -> None:
    text = f"{around}A: 1{between}A: 2{around}"
    assert [one["a"] for one in paragraphs(text)] == ["1", "2"]


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n"])
def test_nothing_has_no_paragraphs(text: str) -> None:
    assert list(paragraphs(text)) == []


@pytest.mark.parametrize(
    "text",
    [" begins with a line that goes on", "no field", ":", "\x00", "A: \x1c\u2028", "a\rb: c"],
)
def test_garbage_is_no_error(text: str) -> None:
    assert len(fields_of(text)) == 1
