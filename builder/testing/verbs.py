"""Verbs: the `oven` command as tests call it, each time as a person would type it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from builder.host.programs import Command, Done, on_host, start
from builder.host.units import program
from builder.model.interface import Json

_PATIENCE = 600.0
"""Seconds after which a verb counts as stuck."""


class UnexpectedError(AssertionError):
    """A command ended otherwise than the test expects."""


def build(recipe: str | Path) -> int:
    """Build what is tested, unless it is there; what that tells goes where ours does.

    Whether it boots is for the tests to say.
    """
    command = Command(_argv("build", "--no-probe", recipe), env=dict(os.environ))
    with start(command, stdin=0, stdout=2, stderr=2) as process:
        return process.wait()


def attempt(*words: str | Path, stdin: bytes = b"") -> Done:
    """Call a verb, and give how it ended."""
    return on_host(Command(_argv(*words), stdin=stdin, env=dict(os.environ), limit=_PATIENCE))


def oven(*words: str | Path, stdin: bytes = b"", code: int = 0) -> str:
    """Call a verb that ends as it should, and give what it prints; UnexpectedError otherwise."""
    return expected(attempt(*words, stdin=stdin), f"oven {words[0]}", code)


def expected(done: Done, what: str, code: int = 0) -> str:
    """Give what a command printed; UnexpectedError, with all that it said, for another status."""
    if done.code != code:
        said = done.output.strip() or "it said nothing"
        problem = f"`{what}` ended with {done.code}, not {code}:\n{said}"
        raise UnexpectedError(problem)
    return done.stdout.decode(errors="replace")


def _argv(*words: str | Path) -> tuple[str, ...]:
    return (*program(), *map(str, words))


@contextmanager
def options(answers: Mapping[str, Json]) -> Iterator[tuple[str, ...]]:
    """Lend the options that give answers: in a file, since arguments can be seen by everybody."""
    from builder.model.toml.text import inline

    with NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:  # only we can read it
        file.writelines(f"{name} = {inline(value)}\n" for name, value in answers.items())
        file.flush()
        yield ("--answers", file.name) if answers else ()
