"""Many builds at once: each in a process of its own, as many as the machine has cores for."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from builder.cli.terminal.sizes import shown
from builder.cli.terminal.table import columns
from builder.host.process.pool import Crew
from builder.host.process.threads import Threads
from builder.host.programs import Command, Done

# Processes and not threads: much of a build is Python's own work, one build's failure is no
# other's, and a build is the same alone and among others. What they share, the base of their
# suite above all, one of them makes while the others wait for it (see `Store.flight`).


@dataclass(frozen=True, slots=True)
class BuildJob:
    """One build: what it makes, and the arguments of the `oven build` that makes it."""

    label: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuildEnd:
    """How a build ended."""

    job: BuildJob
    code: int
    seconds: float
    built: tuple[dict[str, object], ...]
    """What it said with `--json`; nothing of one that failed."""


def build_all(jobs: Sequence[BuildJob], *, cores: int) -> list[BuildEnd]:
    """Build all, also when some fail; each line that is said begins with who says it."""
    width = max(len(job.label) for job in jobs)
    at_once = min(cores, len(jobs))
    share = max(1, cores // at_once)
    crew = Crew()
    with Threads(at_once) as pool:
        try:
            return list(pool.map(lambda job: _build(job, crew, width, share), jobs))
        except BaseException:
            crew.end()
            raise


def _build(job: BuildJob, crew: Crew, width: int, cores: int) -> BuildEnd:
    def say(line: str) -> None:
        click.echo(f"{job.label:<{width}} | {line}", err=True)

    argv = (sys.executable, "-m", "builder", "build", "--json", "--jobs", str(cores))
    started = time.monotonic()
    done = crew.follow(Command((*argv, *job.arguments), env=dict(os.environ)), say)
    return BuildEnd(job, done.code, time.monotonic() - started, tuple(_told(done)))


def _told(done: Done) -> Iterator[dict[str, object]]:
    if done.code == 0:
        yield from json.loads(done.stdout)


def summary(ended: Sequence[BuildEnd]) -> list[str]:
    """Say in a line for each build how it ended."""
    rows: list[tuple[str, ...]] = []
    for one in ended:
        for built in one.built:
            size, sha256 = built["size"], str(built["sha256"])[:12]
            assert isinstance(size, int)
            said = (shown(size), f"sha256:{sha256}", f"{one.seconds:.1f} s")
            rows.append((one.job.label, "built", *said))
        if one.code:
            rows.append((one.job.label, "failed", f"with status {one.code}"))
    return columns(rows, right={2, 4})
