"""Expressions: conditions on answers, computed by Jinja2 in its sandbox."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import IO, Any

import msgspec

from builder.appliance.rendering import BOUNDS
from builder.host.process.bounded import within
from builder.model.errors import HostError


class _Outcome(msgspec.Struct, frozen=True):
    holds: tuple[bool, ...] = ()
    problem: str = ""
    """What is wrong with the one after those that could be computed."""


def hold(expressions: Sequence[str], parameters: Mapping[str, Any]) -> tuple[bool, ...]:
    """Tell of each whether it holds; HostError for one that cannot be computed.

    They are of a template, as those of a file are, and so in a process of their own, with bounds.
    """
    if not expressions:
        return ()
    import jinja2.sandbox  # noqa: F401  # after the fork it would be lost

    ended = within(BOUNDS, partial(_work, expressions, parameters))
    outcome = (
        msgspec.json.decode(ended.written, type=_Outcome)
        if ended.written
        else _Outcome(problem="it takes too much time or memory")
    )
    if outcome.problem or len(outcome.holds) != len(expressions):
        raise HostError(
            f"the condition `{expressions[len(outcome.holds)]}` cannot be used: {outcome.problem}",
            hint="whoever made the template has to mend it",
        )
    return outcome.holds


def _work(expressions: Sequence[str], parameters: Mapping[str, Any], out: IO[bytes]) -> None:
    from types import SimpleNamespace

    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, optimized=False)
    found: list[bool] = []
    try:
        for text in expressions:
            compiled = environment.compile_expression(text, undefined_to_none=False)
            found.append(bool(compiled(parameters=SimpleNamespace(**parameters))))
        outcome = _Outcome(tuple(found))
    except Exception as error:  # noqa: BLE001  # whatever a program may raise
        outcome = _Outcome(tuple(found), str(error)[:500] or type(error).__name__)
    out.write(msgspec.json.encode(outcome))
