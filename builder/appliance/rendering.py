"""Rendering: a file of a recipe's overlay, written as a Jinja2 template, becomes its text."""

import difflib
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import IO

import msgspec

from builder.appliance.variables import Variables
from builder.host.process.bounded import Bounds, within
from builder.model.errors import RecipeError, Span

# A template is a program: its sandbox lets it reach nothing, but it may loop and multiply, and no
# list of what grows would be complete. So a process of its own runs it, with an end to time and
# memory. For each template it writes which line of the code stands for which of the template, and
# in a second line the outcome.

TEMPLATE_LIMIT = 1 << 20
BOUNDS = Bounds(seconds=5, memory=512 << 20)

_CODE = "<template>"
_LONGEST = 500
"""Characters of what Jinja2 and Python say."""
_TOO_LONG = f"the template takes more than {BOUNDS.seconds} seconds"
_TOO_LARGE = f"the template takes more than {BOUNDS.memory >> 20} MiB of memory"


class _Outcome(msgspec.Struct, frozen=True):
    text: bytes = b""
    problem: str = ""
    """What is wrong, if anything."""
    line: int | None = None
    unknown: str | None = None
    """A name that is not defined."""


def render(texts: Mapping[Path, bytes], variables: Variables) -> dict[Path, bytes]:
    """Render templates by the files that errors name.

    They run in a sandbox without a loader: they can read no file, call nothing unsafe and change
    nothing, and a name that does not exist is an error.
    """
    if not texts:
        return {}
    # Only a build that has templates needs it, and it is slow to load; after the fork it is lost.
    import jinja2.sandbox  # noqa: F401

    written = {source: _decoded(text, source) for source, text in texts.items()}
    ended = within(BOUNDS, partial(_work, list(written.values()), variables))
    said = ended.written.split(b"\n")
    outcomes = [msgspec.json.decode(line, type=_Outcome) for line in said[1::2]]
    if len(outcomes) < len(texts) and not (outcomes and outcomes[-1].problem):
        outcomes.append(_cut_off(said[2 * len(outcomes)], ended.trace))
    for source, outcome in zip(texts, outcomes, strict=False):  # the last one may be an error
        if outcome.problem:
            unknown = outcome.unknown
            raise RecipeError(
                outcome.problem,
                at=_span(source, written[source], outcome.line, unknown),
                hint=None if unknown is None else _nearest(unknown, variables),
            )
    return {source: one.text for source, one in zip(texts, outcomes, strict=True)}


def lowered(text: str) -> str:
    """Give a message of others as ours are: without a capital letter."""
    return text[:1].lower() + text[1:]


def _decoded(text: bytes, source: Path) -> str:
    if len(text) > TEMPLATE_LIMIT:
        raise RecipeError(f"a template is at most {TEMPLATE_LIMIT} bytes", at=source)
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise RecipeError("a template must be UTF-8 text", at=Span(source, line)) from error


def _work(texts: list[str], variables: Variables, out: IO[bytes]) -> None:
    """Render, and write two lines for each: this is done in a process with bounds."""
    for written in texts:
        outcome = _outcome(written, variables, out)
        out.write(b"\n" + msgspec.json.encode(outcome) + b"\n")
        if outcome.problem:
            return


def _outcome(written: str, variables: Variables, out: IO[bytes]) -> _Outcome:
    from jinja2 import TemplateSyntaxError

    try:
        return _Outcome(_rendered(written, variables, out))
    except TemplateSyntaxError as error:
        problem = (error.message or "syntax error").rstrip(".")[:_LONGEST]
        return _Outcome(problem=lowered(problem), line=error.lineno)
    except OSError:
        raise  # no template's fault: it has no files
    # Apart from Jinja2's own errors it can divide by zero, nest too deep and the like.
    except Exception as error:  # noqa: BLE001  # whatever a program may raise
        return _failed(error)


def _rendered(written: str, variables: Variables, out: IO[bytes]) -> bytes:
    from jinja2 import StrictUndefined, Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        # Nothing is computed before it runs, when nobody could tell the line.
        optimized=False,
        finalize=_late(),
    )
    # Attributes, not dictionary items: `parameters.items` must be the parameter of that name.
    seen = {name: SimpleNamespace(**values) for name, values in variables.groups().items()}
    code: CodeType = environment.compile(written, _CODE, _CODE)
    template = Template.from_code(environment, code, {})
    out.write(msgspec.json.encode(template.debug_info))
    out.flush()
    return template.render(seen).encode()


def _late() -> Callable[[object, object], object]:
    """Give what leaves a value as it is, but wants a context: so Jinja2 computes none early."""
    from jinja2 import pass_context

    def as_it_is(context: object, value: object) -> object:  # noqa: ARG001  # Jinja2's way
        return value

    return pass_context(as_it_is)


def _failed(error: Exception) -> _Outcome:
    from jinja2 import UndefinedError

    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _CODE:
            line = trace.tb_lineno
        trace = trace.tb_next
    said = str(error)[:_LONGEST].encode(errors="replace").decode()
    if isinstance(error, UndefinedError):
        name = (re.findall(r"'([^']*)'", said) or [""])[-1]
        return _Outcome(problem=f"`{name}` is not defined", line=line, unknown=name)
    if isinstance(error, MemoryError):
        return _Outcome(problem=_TOO_LARGE, line=line)
    problem = lowered(said.rstrip(".")) or type(error).__name__
    if "no loader" in problem:
        problem = "a template cannot read other files"
    return _Outcome(problem=problem, line=line)


def _cut_off(lines: bytes, trace: str) -> _Outcome:
    """Tell of a template whose process did not come to an end by itself."""
    at = re.search(rf'File "{_CODE}", line (\d+)', trace)
    line = None
    if at and lines:
        pairs = msgspec.json.decode(lines, type=list[tuple[int, int]])
        before = [theirs for theirs, ours in pairs if ours <= int(at[1])]
        line = before[-1] if before else None
    return _Outcome(problem=_TOO_LONG if trace else _TOO_LARGE, line=line)


def _nearest(name: str, variables: Variables) -> str:
    names = variables.names()
    last = {known.rpartition(".")[2]: known for known in reversed(names)}
    if close := difflib.get_close_matches(name, last, n=1):
        return f"did you mean `{last[close[0]]}`?"
    return "a template sees " + ", ".join(f"`{known}`" for known in names)


def _span(source: Path, written: str, line: int | None, name: str | None) -> Span:
    lines = written.splitlines()
    if line is None or not 1 <= line <= len(lines):
        return Span(source, line)
    text = lines[line - 1]
    if name and (found := re.search(rf"\b{re.escape(name)}\b", text)):
        return Span(source, line, found.start() + 1, len(name), text)
    start = max(text.find("{{"), text.find("{%"), 0)
    return Span(source, line, start + 1, max(len(text.rstrip()) - start, 1), text)
