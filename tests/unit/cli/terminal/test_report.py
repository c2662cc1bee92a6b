"""Errors as a person sees them, on a terminal and off it."""

import os
import pty
import sys
from pathlib import Path

import pytest

from builder.cli.terminal.report import render, show
from builder.model.errors import (
    ConflictError,
    HostError,
    OvenError,
    RecipeError,
    Span,
    StageError,
    TrustError,
    UpstreamError,
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HostError("no space left"), "error: no space left\n"),
        (
            ConflictError("the name `web` is taken", hint="choose another with --name"),
            "error: the name `web` is taken\nhint: choose another with --name\n",
        ),
        (
            TrustError("wrong signature", at=Path("InRelease")),
            "error: wrong signature\n  --> InRelease\n",
        ),
        (
            RecipeError("too long", at=Span(Path("a.toml"), 3)),
            "error: too long\n  --> a.toml:3:1\n",
        ),
        (
            RecipeError(
                "unknown key `sutie`",
                at=Span(Path("recipes/a.toml"), 6, 1, 5, 'sutie = "bookworm"'),
                hint="did you mean `suite`?",
            ),
            """\
error: unknown key `sutie`
  --> recipes/a.toml:6:1
  |
6 | sutie = "bookworm"
  | ^^^^^
hint: did you mean `suite`?
""",
        ),
        (
            RecipeError("wrong", at=Span(Path("a.toml"), 120, 6, 99, "\tx = 漢字 = ä\r")),
            """\
error: wrong
    --> a.toml:120:6
    |
120 | \tx = 漢字 = ä\N{REPLACEMENT CHARACTER}
    | \t    ^^^^^^^^^
""",
        ),
        (
            RecipeError("after the end", at=Span(Path("a.toml"), 1, 3, 1, "ab")),
            "error: after the end\n  --> a.toml:1:3\n  |\n1 | ab\n  |   ^\n",
        ),
        (
            UpstreamError("the mirror said \x1b[2Jnothing\x07"),
            "error: the mirror said \N{REPLACEMENT CHARACTER}[2Jnothing\N{REPLACEMENT CHARACTER}\n",
        ),
        (
            StageError(
                "`dpkg` ended with status 1",
                command="dpkg --configure -a",
                output="Setting up x\n\x1b[31mno\n",
                hint="see above",
            ),
            """\
error: `dpkg` ended with status 1
  |
  | Setting up x
  | \N{REPLACEMENT CHARACTER}[31mno
  |
command: dpkg --configure -a
hint: see above
""",
        ),
        (StageError("it broke"), "error: it broke\n"),
    ],
)
def test_rendering(error: OvenError, expected: str) -> None:
    assert render(error) == expected


def test_only_the_end_of_a_long_output_is_shown() -> None:
    output = "".join(f"line {number}\n" for number in range(1, 101))
    text = render(StageError("it broke", command="make", output=output))
    assert text.startswith("error: it broke\n  | … 80 lines above\n  | line 81\n  | line 82\n")
    assert text.endswith("  | line 100\n  |\ncommand: make\n")


def test_paths_below_the_current_folder_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "  --> a/b.toml\n" in render(RecipeError("x", at=tmp_path / "a/b.toml"))
    assert f"  --> {tmp_path.parent}/c\n" in render(RecipeError("x", at=tmp_path.parent / "c"))


def test_off_a_terminal_the_text_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    error = RecipeError("wrong", at=Span(Path("a.toml"), 1, 1, 1, "x"), hint="right it")
    show(error)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == render(error)


def on_terminal(error: OvenError, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give what a terminal receives, its line ends made plain."""
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            show(error)
            terminal.flush()
            return os.read(ours, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(ours)


def test_a_terminal_gets_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    error = RecipeError("[bold]wrong[/] " + "x" * 200, at=Path("a.toml"))
    text = on_terminal(error, monkeypatch)
    assert text.startswith("\x1b[1;31merror\x1b[0m")
    # Brackets are no markup, and the terminal does the wrapping.
    assert "[bold]wrong[/] " + "x" * 200 + "\x1b[0m\n" in text


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    error = RecipeError("wrong", at=Path("a.toml"))
    assert on_terminal(error, monkeypatch) == render(error)
