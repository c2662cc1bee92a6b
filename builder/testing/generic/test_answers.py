"""Answers are taken, refused and waited for as the interface says."""

import pytest

from builder.testing.appliance import Appliance
from builder.testing.container import Instance
from builder.testing.mistakes import wrong
from builder.testing.rig import Rig
from builder.testing.verbs import attempt, options


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
    """Without what it requires it has no files, and says what it waits for."""
    required = set(appliance.interface.required)
    if not required:
        pytest.skip("it requires no answer")
    bare = rig.instance({})
    try:
        assert not bare.problem, bare.problem
        said = set(bare.facts["unanswered"])
        asked = {one for one in required if appliance.interface.parameters[one].when is None}
        assert asked <= said, f"it does not wait for {', '.join(sorted(asked - said))}"
        assert not (files := bare.files()), f"it has {', '.join(files)}"
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
