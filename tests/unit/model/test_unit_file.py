"""Unit files: each value as systemd reads it, and none that ends its line."""

import pytest

from builder.model.errors import HostError
from builder.model.unit_file import Call, UnitFile, Value, Words, properties


def test_sections_and_keys_come_in_order() -> None:
    file = UnitFile(
        note="Written by a test.",
        unit=(("Description", "100% sure"), ("ConditionPathExists", "|!/a"),
              ("ConditionPathExists", "|!/b")),
        service=(("Environment", Words(("A=1", "B=two words"))),
                 ("ExecStart", Call(("/bin/echo", "$HOME", "50%")))),
        install=(("WantedBy", "timers.target"),),
    )  # fmt: skip
    assert file.text() == (
        "# Written by a test.\n"
        "[Unit]\nDescription=100%% sure\nConditionPathExists=|!/a\nConditionPathExists=|!/b\n\n"
        '[Service]\nEnvironment=A=1 "B=two words"\nExecStart=/bin/echo "$$HOME" 50%%\n\n'
        "[Install]\nWantedBy=timers.target\n"
    )
    assert properties((*file.unit[:1], *file.service)) == [
        "Description=100% sure",
        'Environment=A=1 "B=two words"',
        'ExecStart=/bin/echo "$$HOME" 50%',
    ]


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/plain/path-1_2:3@4", "/plain/path-1_2:3@4"), ("", '""'), ("a b", '"a b"'), ("ü", '"ü"'),
        ('say "no"', '"say \\"no\\""'), ("it's", '"it\'s"'), ("a\\", '"a\\\\"'), ("$X", '"$X"'),
        ("a\tb", '"a\tb"'), ("%i", "%%i"), (";", '";"'), ("#", '"#"'),
    ],
)  # fmt: skip
def test_a_word_stays_one(word: str, written: str) -> None:
    assert UnitFile(unit=(("Key", Words((word,))),)).text() == f"[Unit]\nKey={written}\n"


@pytest.mark.parametrize("evil", ["a\nExecStart=/bin/false", "a\rb", "a\udcff"])
@pytest.mark.parametrize("kind", [str, lambda word: Words((word,)), lambda word: Call((word,))])
def test_what_ends_a_line_is_refused(evil: str, kind: type[str]) -> None:
    value: Value = kind(evil)
    with pytest.raises(HostError, match=r"systemd cannot be told of .* in `Key=`"):
        UnitFile(unit=(("Key", value),)).text()


def test_a_text_does_not_take_the_next_line_along() -> None:
    with pytest.raises(HostError, match="systemd cannot be told of"):
        UnitFile(unit=(("Description", "in C:\\"),)).text()
