"""Starts wait until what shows an appliance to be ready is so, and say what is not."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from builder.model.health import HealthProbe
from builder.model.instance import Answers, Instance
from builder.model.interface import Interface, Json, Parameter
from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.lifecycle.readiness import NotReadyError
from builder.runtime.record import instances, state
from tests.support.containers.rig import Rig
from tests.support.containers.templates import describe
from tests.support.needs import needs
from tests.support.oven import Oven, finished, kill, wait_for_line

pytestmark = needs("root", "program:runc", "program:conmon")

SERVING = HealthProbe(name="serves", kind="exec", command=("cat", "/serves"), contains="yes")
WEB = HealthProbe(name="web", kind="http", port="{{ parameters.port }}", unit="nginx.service")
PORT = {"port": Parameter(default=8080)}


def make(rig: Rig, *probes: HealthProbe, parameters: dict[str, Parameter] | None = None) -> None:
    """Make a container that is up at once, whatever its probes say."""
    describe(rig, interface=Interface(health=probes, parameters=parameters or {}))
    create.create(rig.places, rig.container())


@contextmanager
def starting(oven: Oven) -> "Iterator[subprocess.Popen[bytes]]":
    """Start it, and go on once it is up and waited for; no test has to sleep."""
    with ExitStack() as stack:
        events = oven.start("events", "test", "--follow")
        stack.callback(kill, events)
        begun = oven.start("start", "test")
        stack.callback(kill, begun)
        wait_for_line(events, "ready")
        yield begun


def refused(rig: Rig) -> NotReadyError:
    with pytest.raises(NotReadyError) as caught:
        control.start(rig.places, "test", Silent(), timeout=2)
    return caught.value


def test_it_is_waited_for(rig: Rig, oven: Oven) -> None:
    make(rig, SERVING)
    with starting(oven) as begun:
        oven("exec", "test", "--", "sh", "-c", "echo yes >/serves")
        assert "test" in finished(begun)
    assert begun.returncode == 0
    oven("health", "test")


def test_what_is_not_ready_is_named(rig: Rig, oven: Oven) -> None:
    make(rig, SERVING, WEB, parameters=PORT)
    error = refused(rig)
    assert error.late
    assert error.exit_code == 6
    assert error.problem.startswith("container `test` is not ready after 2 seconds, and goes on")
    assert "`serves`: `cat` ended with 1: cat: /serves" in error.problem
    assert error.problem.endswith(", and 1 more")
    assert "web: port 8080 of 127.0.0.1 is closed" in error.output
    # A start of one that runs asks as well.
    oven("exec", "test", "--", "sh", "-c", "echo yes >/serves")
    assert "`web`: port 8080 of 127.0.0.1 is closed" in refused(rig).problem


def test_one_that_ends_meanwhile_is_not_waited_for(rig: Rig, oven: Oven) -> None:
    make(rig, SERVING)
    with starting(oven) as begun:
        # From outside: a command in there would be killed with it, sooner or later than it ends.
        current = state.read(rig.places, "test")
        assert current
        os.kill(current.pid, signal.SIGTERM)
        assert "container `test` ended before it was ready" in finished(begun)
    assert begun.returncode == 6


def test_what_is_deep_is_not_waited_for(rig: Rig, oven: Oven) -> None:
    make(rig, HealthProbe(name="deep", kind="tcp", port=1, level="deep"))
    oven("start", "test")
    oven("health", "test", code=1)
    oven("health", "test", "--level", "ready")


def test_an_instance_without_answers_is_not_waited_for(rig: Rig, oven: Oven) -> None:
    make(rig, WEB, parameters={**PORT, "domain": Parameter()})
    oven("start", "test")
    oven("health", "test", code=1)


def test_what_the_instance_was_told_counts(rig: Rig, oven: Oven) -> None:
    make(rig, WEB, parameters={**PORT, "domain": Parameter()})
    said: dict[str, Json] = {"port": 9090, "domain": "a.example"}
    told = Answers(values=said, given=said)
    instances.save(rig.places, "test", Instance(answers=told))
    assert "`web`: port 9090 of 127.0.0.1 is closed" in refused(rig).problem
    waits = Answers(values={"port": 9090}, given={"port": 9090}, missing=("domain",))
    instances.save(rig.places, "test", Instance(answers=waits))
    oven("start", "test")


def test_a_probe_that_no_answer_fits_is_told_of(rig: Rig, oven: Oven) -> None:
    make(rig, WEB, parameters={"port": Parameter(default="http")})
    assert "`web`: cannot be asked: invalid literal" in refused(rig).problem
    describe(rig, interface=Interface(health=(WEB,)))
    said = oven.said("health", "test", code=3)
    assert "the probe `web` cannot be used: `port` is not defined" in said
