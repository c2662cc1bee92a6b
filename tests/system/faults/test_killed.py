"""A build that is killed, or whose disk fails, at each of its operations; then the same again."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, small_world
from tests.support.builds.rules import broken_rules
from tests.support.faults.operations import BROKEN, FULL, Seen, at_latest, in_stage, stages
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Mirror

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive", "library:libseccomp.so.2")

NEVER = 1 << 40

Points = Callable[[int], list[int]]


@pytest.fixture(scope="module")
def undisturbed(disk: Path, miniature: tuple[Archive, Mirror]) -> Seen:
    """What a build does on disk; `stdout` is replaced by the hash of what comes out."""
    world = small_world(disk / "undisturbed", *miniature)
    seen = world.build()
    assert seen.code == 0, seen.stderr
    assert world.wrong() == []
    seen.stdout = world.sha256()
    return seen


@pytest.fixture
def world(disk: Path, miniature: tuple[Archive, Mirror]) -> Iterator[World]:
    world = small_world(disk / f"world-{os.urandom(3).hex()}", *miniature)
    before = Traces.of(world.home)
    yield world
    assert left_over(world.home, before) == {}
    shutil.rmtree(world.folder)


def few(count: int) -> list[int]:
    """Choose the first, the last, and one in the middle."""
    return sorted({0, count // 2, count - 1})


def every(count: int) -> list[int]:
    return list(range(count))


def disturb(world: World, before: Seen, answer: int, points: Points, *, own: bool) -> set[str]:
    """Do something to the build at points of each stage, and after each one start it again.

    A stage that was finished all the same is undone for the next point. Gives the stages that were
    hit: which of its later points are met differs, as programs do not do the same each time.
    """
    counts = stages(before.operations, own=own)
    order, hit = list(counts), set[str]()
    for number, stage in enumerate(order):
        saved = world.save()
        for point in points(counts[stage]):
            seen = world.build(at_latest(order[number:], point, answer, own=own))
            judge(seen, answer, f"{stage} {point}: {seen.hit}, status {seen.code}\n{seen.stderr}")
            assert broken_rules(world.home) == [], f"{stage} {point}: {seen.hit}"
            hit |= {seen.hit.stage} if seen.hit is not None else set()
            if seen.code in {0, -signal.SIGKILL} and seen.stage != stage:
                world.restore(saved)
        world.build(at_latest(order[number:], NEVER, answer))
        assert not world.wrong() or number + 1 < len(order)
        shutil.rmtree(saved)
    return hit


def judge(seen: Seen, answer: int, told: str) -> None:
    if seen.hit is None:
        assert seen.code == 0, told
    elif seen.code == -signal.SIGKILL:
        assert "error: " not in seen.stderr, told
    elif answer < 0:
        wanted = {signal.SIGINT: 130, signal.SIGTERM: 143}
        assert seen.code == wanted[signal.Signals(-answer)], told
    else:
        # Some operations are of no consequence, such as noting that an object was used. Programs
        # say little about what failed them: apt takes a split of a file that failed for a forgery.
        known = {0, 3, 6} if seen.hit.own else {0, 3, 4, 5, 6}
        assert seen.code in known, told
        assert (seen.code == 0) == ("error: " not in seen.stderr), told
        assert "Traceback" not in seen.stderr, told
        assert "a bug in oven" not in seen.stderr, told


ANSWERS = {"kill": -signal.SIGKILL, "full": FULL, "broken": BROKEN}
FIRST = (("kill", "own"), ("full", "programs"))
"""What a plain run tries; the others differ from these in little."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "own"),
    [
        pytest.param(
            ANSWERS[answer],
            whose == "own",
            id=f"{answer}-{whose}",
            marks=() if (answer, whose) in FIRST else pytest.mark.slow,
        )
        for answer in ANSWERS
        for whose in ("own", "programs")
    ],
)
def test_the_next_build_is_as_if_nothing_had_been(
    world: World, undisturbed: Seen, answer: int, own: bool
) -> None:
    hit = disturb(world, undisturbed, answer, few, own=own)
    # Packages are unpacked while others are downloaded, and may all be when that has failed.
    assert hit >= set(stages(undisturbed.operations, own=own)) - {"unpack"}
    assert world.sha256() == undisturbed.stdout
    assert world.wrong() == []


@pytest.mark.slow
@pytest.mark.parametrize("answer", [-signal.SIGKILL, FULL], ids=["kill", "full"])
def test_the_same_at_every_single_operation(world: World, undisturbed: Seen, answer: int) -> None:
    disturb(world, undisturbed, answer, every, own=True)
    assert world.sha256() == undisturbed.stdout
    assert world.wrong() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_asked_to_end_leaves_nothing(
    world: World, undisturbed: Seen, number: signal.Signals
) -> None:
    for stage, count in stages(undisturbed.operations).items():
        before = Traces.of(world.home)
        seen = world.build(in_stage(stage, count // 2, -number))
        if seen.hit is not None:
            told = f"{stage}: {seen.hit}, status {seen.code}\n{seen.stderr}"
            judge(seen, -number, told)
            assert "interrupted" in seen.stderr, told
            assert left_over(world.home, before) == {}, told
            assert world.wrong() == [], told
    assert world.sha256() == undisturbed.stdout
