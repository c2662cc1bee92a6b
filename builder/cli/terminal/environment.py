"""Variables for a command: what `-e` and `--env-file` say."""

import os
import re
from pathlib import Path

from builder.model.errors import RecipeError, Span

_NAME = re.compile(r"[^=\0\s]+")


def variables(words: tuple[str, ...], file: str | None = None) -> tuple[str, ...]:
    """Give `NAME=VALUE` words; a `NAME` alone has the value that it has here, if any.

    A file has one on each line; empty lines and those that begin with `#` say nothing. What is
    given by word wins.
    """
    given = [*(_lines(Path(file)) if file else ()), *words]
    found = []
    for word in given:
        name, sign, _ = word.partition("=")
        if not _NAME.fullmatch(name):
            raise RecipeError(f"`{name}` cannot name a variable", hint="write `NAME=VALUE`")
        if sign:
            found.append(word)
        elif name in os.environ:
            found.append(f"{name}={os.environ[name]}")
    return tuple(found)


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read variables from `{file}`: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not _NAME.fullmatch(line.partition("=")[0]) or "\0" in line:
            raise RecipeError(
                "this line names no variable",
                at=Span(file, number, 1, len(line), line),
                hint="write `NAME=VALUE`",
            )
        found.append(line)
    return found
