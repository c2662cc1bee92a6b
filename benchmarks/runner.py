"""Runs commands in turn, several times each, and tells their medians and ratios."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

# Seconds drift with the machine's mood, so contenders take turns within one run and what counts
# is the ratio of their medians. Nothing here decides whether a figure is good enough.


def _nothing() -> None:
    """Leave things as they are."""


@dataclass(frozen=True)
class Contender:
    """A command to measure; what `before` and `after` do is not counted."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] = _nothing
    after: Callable[[], None] = _nothing


@dataclass(frozen=True)
class Row:
    """How long a command took, in seconds, or how much memory, in megabytes."""

    name: str
    median: float
    fastest: float
    slowest: float
    ratio: float
    """To the first contender's median."""


@dataclass(frozen=True)
class Comparison:
    """What came out; the first row is what the others are compared with."""

    title: str
    repetitions: int
    rows: tuple[Row, ...]
    goals: tuple[str, ...] = ()
    """What should come out, in words."""
    unit: Literal["s", "MB", "/s"] = "s"


def compare(title: str, contenders: Sequence[Contender], *, repetitions: int) -> Comparison:
    """Let contenders take turns; the first turn of each warms caches and is not counted."""
    for one in contenders:
        _progress(f"{title}: warming {one.name}")
        time_once(one)
    taken = take_turns(title, contenders, time_once, repetitions=repetitions)
    return Comparison(title, repetitions, rows(taken))


def take_turns(
    title: str,
    contenders: Sequence[Contender],
    measure: Callable[[Contender], float],
    *,
    repetitions: int,
) -> dict[str, list[float]]:
    """Measure each contender so many times, in turn; every turn counts."""
    taken: dict[str, list[float]] = {one.name: [] for one in contenders}
    for turn in range(repetitions):
        for one in contenders:
            _progress(f"{title}: {turn + 1}/{repetitions} {one.name}")
            taken[one.name].append(measure(one))
    _progress("")
    return taken


def rows(taken: Mapping[str, Sequence[float]]) -> tuple[Row, ...]:
    """Sum up what was measured, in ratios to the first contender."""
    medians = {name: statistics.median(values) for name, values in taken.items()}
    first = next(iter(medians.values()))
    return tuple(
        Row(name, medians[name], min(values), max(values), medians[name] / first)
        for name, values in taken.items()
    )


def _progress(text: str) -> None:
    """Say what goes on, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def time_once(contender: Contender) -> float:
    """Run a command once; a failing one ends the benchmark and shows what it said."""
    contender.before()
    os.sync()  # nobody pays for what was written before
    started = time.perf_counter()
    done = subprocess.run(
        contender.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **contender.env},
    )
    seconds = time.perf_counter() - started
    contender.after()
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace")
        sys.exit(f"\n{contender.name}: status {done.returncode}\n{said}")
    return seconds


def draw(comparison: Comparison) -> str:
    """Draw a comparison as a table."""
    lines = [f"{comparison.title} ({comparison.repetitions} runs each)"]
    width = max(len(row.name) for row in comparison.rows)
    lines.append(f"  {'':<{width}}  {'median':>9}  {'fastest':>9}  {'slowest':>9}  {'ratio':>6}")
    for row in comparison.rows:
        values = (row.median, row.fastest, row.slowest)
        told = "  ".join(f"{tell(one, comparison.unit):>9}" for one in values)
        lines.append(f"  {row.name:<{width}}  {told}  {row.ratio:>6.2f}")
    lines += [f"  goal: {goal}" for goal in comparison.goals]
    return "\n".join(lines) + "\n"


def tell(value: float, unit: str) -> str:
    """Write a value as people read it."""
    if unit != "s":
        return f"{value:.0f} {unit}"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def main(description: str, run: Callable[[argparse.Namespace], Sequence[Comparison]]) -> None:
    """Read the command line that all benchmarks share, run one, and tell what came out."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-n", "--repetitions", type=int, default=5, help="counted runs of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    if arguments.repetitions < 1:
        parser.error("at least one run has to be counted")
    comparisons = run(arguments)
    for comparison in comparisons:
        print(draw(comparison))
    if arguments.json:
        write(comparisons, arguments.json)


def write(comparisons: Sequence[Comparison], file: Path) -> None:
    """Write all figures, and what they were measured on, as JSON."""
    machine = {"machine": platform.machine(), "cpus": os.cpu_count()}
    system = {"kernel": platform.release(), "python": platform.python_version()}
    found = {**machine, **system, "comparisons": [asdict(one) for one in comparisons]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=2) + "\n")
