"""Answers are taken, refused and waited for as the interface says."""

from collections.abc import Iterator

import pytest

from builder.appliance.schema import type_of
from builder.model.interface import Json, Parameter
from builder.testing.appliance import Appliance
from builder.testing.container import Instance
from builder.testing.rig import Rig
from builder.testing.verbs import attempt, options

_NO = {"hostname": "-x-", "email": "x", "ipv4": "999.1.1.1", "ipv6": ":::", "uri": " ",
       "date": "tomorrow", "time": "late", "date-time": "tomorrow", "duration": "long",
       "regex": "(", "uuid": "x"}  # fmt: skip
"""What is none of a format."""
_OTHER: dict[str, Json] = {"string": 3, "integer": "x", "number": "x", "boolean": "x",
                           "array": "x", "object": "x"}  # fmt: skip
"""What is none of a type."""


@pytest.fixture
def asked(appliance: Appliance) -> Appliance:
    """The appliance, if there is anything to answer."""
    if not appliance.interface.parameters:
        pytest.skip("it has no parameters")
    return appliance


def test_the_same_again(instance: Instance, asked: Appliance) -> None:
    """The same answers again change nothing."""
    said = instance.configure(asked.answers).strip()
    assert "nothing changes" in said, said


def test_missing(appliance: Appliance, rig: Rig) -> None:
    """Without what it requires it serves nobody, and says what it waits for."""
    required = set(appliance.interface.required)
    if not required:
        pytest.skip("it requires no answer")
    bare = rig.instance({})
    try:
        assert not bare.problem, bare.problem
        said = set(bare.facts["unanswered"])
        asked = {one for one in required if appliance.interface.parameters[one].when is None}
        assert asked <= said, f"it does not wait for {', '.join(sorted(asked - said))}"
    finally:
        rig.remove(bare)


def test_wrong(asked: Appliance) -> None:
    """Wrong answers are refused, and the parameter is named."""
    problems = []
    for name, parameter in asked.interface.parameters.items():
        for value in wrong(parameter) if parameter.when is None else ():
            with options({**asked.answers, name: value}) as given:
                done = attempt("appliance", "explain", asked.name, *given)
            if done.code != 2:
                problems.append(f"`{name}` takes {value!r}")
            elif f"`{name}`" not in done.output:
                problems.append(f"`{name}` refuses {value!r} with: {done.output.strip()}")
    assert not problems, "\n".join(problems)


def wrong(parameter: Parameter) -> Iterator[Json]:
    """Make up values that a parameter must not take."""
    kind = type_of(parameter)
    yield _OTHER[kind]
    if parameter.enum:
        yield 987654321 if kind in {"integer", "number"} else "no-such"
    if kind == "string" and parameter.format in _NO:
        yield _NO[parameter.format]
    if parameter.min_length:
        yield "x" * (parameter.min_length - 1)
    if parameter.max_length is not None:
        yield "x" * (parameter.max_length + 1)
    if parameter.minimum is not None:
        yield parameter.minimum - 1
    if parameter.maximum is not None:
        yield parameter.maximum + 1
    if parameter.min_items:
        yield []
