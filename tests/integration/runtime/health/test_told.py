"""`oven health`: what it prints, and how it ends."""

import json
import signal

from builder.model.health import HealthProbe
from builder.model.interface import Interface
from builder.runtime.lifecycle import create
from tests.support.containers.rig import Rig
from tests.support.containers.templates import describe
from tests.support.needs import needs
from tests.support.oven import Oven, end, wait_for_line

pytestmark = needs("root", "program:runc", "program:conmon")

PROBES = (
    HealthProbe(name="shell", kind="exec", command=("true",), level="live"),
    HealthProbe(name="web", kind="tcp", port=80, level="deep"),
)


def make(rig: Rig, *probes: HealthProbe) -> None:
    describe(rig, interface=Interface(health=probes))
    create.create(rig.places, rig.container())


def test_the_ways_to_tell(rig: Rig, oven: Oven) -> None:
    make(rig, *PROBES)
    oven("start", "test")
    head, *rows = (line.split() for line in told(oven))
    assert head == ["PROBE", "KIND", "LEVEL", "SECONDS", "HEALTH"]
    assert [row[:3] + row[4:] for row in rows] == [
        ["shell", "exec", "live", "ok"],
        ["web", "tcp", "deep", "port", "80", "of", "127.0.0.1", "is", "closed"],
    ]
    first, second = json.loads("\n".join(told(oven, "--json")))
    assert (first["probe"], first["healthy"], first["reason"]) == ("shell", True, None)
    assert (second["level"], second["healthy"], second["lines"]) == ("deep", False, [])
    metrics = told(oven, "--format", "prometheus")
    assert 'oven_health{container="test",probe="shell",level="live"} 1' in metrics
    assert 'oven_health{container="test",probe="web",level="deep"} 0' in metrics
    took = 'oven_health_duration_seconds{container="test",probe="web",level="deep"} 0.'
    assert any(line.startswith(took) for line in metrics)


def told(oven: Oven, *options: str) -> list[str]:
    return oven("health", "test", *options, code=1).stdout.decode().splitlines()


def test_one_that_does_not_run(rig: Rig, oven: Oven) -> None:
    make(rig, *PROBES)
    assert all(line.endswith("the container is stopped") for line in told(oven)[1:])
    assert "there is no container `other`" in oven.said("health", "other", code=7)
    oven("start", "test")
    oven("freeze", "test")
    assert all(line.endswith("the container is frozen") for line in told(oven)[1:])


def test_one_of_which_there_is_nothing_to_ask(rig: Rig, oven: Oven) -> None:
    make(rig)
    oven("start", "test")
    assert "has nothing to ask" in oven.said("health", "test")
    assert oven.json("health", "test") == []


def test_what_changes_is_told(rig: Rig, oven: Oven) -> None:
    make(rig, HealthProbe(name="made", kind="exec", command=("cat", "/made"), level="deep"))
    oven("start", "test")
    watched = oven.start("health", "test", "--watch")
    wait_for_line(watched, "made  `cat` ended with 1")
    oven("exec", "test", "--", "touch", "/made")
    wait_for_line(watched, "made  ok")
    end(watched, signal.SIGINT)
    assert watched.returncode == 130
