"""Running: the table of work that an administrator does, side by side with other runtimes."""

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from benchmarks import chart, density, inside
from benchmarks.bench import FOLDER, OVEN, PYTHON, install, needs, tidy
from benchmarks.runner import (
    Comparison,
    Contender,
    Row,
    draw,
    rows,
    take_turns,
    tell,
    time_once,
    write,
)
from benchmarks.runtimes import HOME, NAME, Peers, clear, quiet

# Every runtime is given the tree of one template. Nothing is counted that only prepares a turn, and
# the first turn of each is not counted at all.

RESULT = Path(__file__).resolve().parent.parent / "docs/benchmarks/runtime.json"
PEERS = {"podman": "podman", "lxc": "lxc-execute", "nspawn": "systemd-nspawn"}
LARGE = 2000
"""Files of 1 MB that make a template large."""


@dataclass
class Bench:
    """One run of the benchmark."""

    repetitions: int
    containers: int
    cycles: int

    @cached_property
    def peers(self) -> Peers:
        """Every runtime, with the tree of a template that is built if need be."""
        quiet(OVEN, "build", "--no-probe", density.TEMPLATE, env=HOME)
        return Peers(_rootfs(density.TEMPLATE))

    def there(self, *contenders: tuple[str, Callable[[], Contender]]) -> list[Contender]:
        """Warm those contenders that work here, and say why others do not."""
        found = []
        for peer, make in contenders:
            program = PEERS.get(peer)
            if program and not shutil.which(program):
                print(f"{peer} is left out: `{program}` is not installed\n")
                continue
            try:
                one = make()
                one.before()
                quiet(*one.argv, env=dict(one.env))
                one.after()
            except RuntimeError as error:
                print(f"{peer} is left out: {error}\n")
                continue
            found.append(one)
        return found

    def compare(
        self, title: str, contenders: Sequence[Contender], goals: Mapping[str, float], times: int
    ) -> Comparison:
        """Let contenders take turns, and tell how the goals are met."""
        repetitions = times * self.repetitions
        found = rows(take_turns(title, contenders, time_once, repetitions=repetitions))
        return Comparison(title, repetitions, found, tuple(verdicts(found, goals)))


def once(bench: Bench) -> Comparison:
    """Run one command in a new container, without network."""
    peers, off = bench.peers, ("--network", "none")
    contenders = bench.there(
        ("runc", peers.runc), ("podman", lambda: peers.podman(*off)), ("lxc", peers.lxc),
        ("nspawn", peers.nspawn), ("oven", lambda: peers.oven(*off)),
    )  # fmt: skip
    title = "One command in a new container, no network"
    return bench.compare(title, contenders, {"runc": 2.5, "podman": 0.5}, 5)


def network(bench: Bench) -> Comparison:
    """Do the same with each one's default network; LXC and nspawn have none of their own."""
    contenders = bench.there(("podman", bench.peers.podman), ("oven", bench.peers.oven))
    title = "One command in a new container, default network"
    return bench.compare(title, contenders, {"podman": 0.4}, 5)


def execute(bench: Bench) -> Comparison:
    """Run one command in a container that runs."""
    peers = bench.peers
    contenders = bench.there(
        ("runc", peers.runc_exec), ("podman", peers.podman_exec), ("lxc", peers.lxc_exec),
        ("python", lambda: Contender("python -c pass", (PYTHON, "-c", "pass"))),
        ("oven", peers.oven_exec),
    )  # fmt: skip
    return bench.compare("One command in a running container", contenders, {"runc exec": 2.5}, 5)


def create(bench: Bench) -> Comparison:
    """Make containers of a small template and of one that is ten times larger."""
    large = _large()
    contenders = bench.there(
        *(
            ("oven", lambda name=name, label=label: Contender(
                label, (OVEN, "create", NAME, name), HOME, after=_destroy
            ))
            for name, label in ((density.TEMPLATE, "oven, 200 MB"), (large, "oven, 2 GB"))
        ),
        ("podman", bench.peers.podman_create),
    )  # fmt: skip
    found = bench.compare("Making a container", contenders, {}, 5)
    return replace(found, goals=tuple(_at_most(found.rows[:2], 0.06)))


def boot(bench: Bench) -> Comparison:
    """Boot Debian's systemd until it is ready."""
    peers = bench.peers
    contenders = bench.there(("lxc", peers.lxc_boot), ("oven", peers.oven_boot))
    title = "Boot of Debian 12 until it is ready"
    taken = take_turns(title, contenders, time_once, repetitions=2 * bench.repetitions)
    if shutil.which(PEERS["nspawn"]):
        nspawn = peers.nspawn_boot()
        nspawn()
        taken["systemd-nspawn"] = [nspawn() for _ in range(2 * bench.repetitions)]
    found = rows(taken)
    by_name = {row.name: row.median for row in found}
    if "LXC" not in by_name:
        return Comparison(title, 2 * bench.repetitions, found)
    more = by_name["oven"] - by_name["LXC"]
    goal = judged("oven at most LXC + 0.1 s", f"{more:+.2f} s", met=more <= 0.1)
    return Comparison(title, 2 * bench.repetitions, found, (goal,))


def many(bench: Bench) -> list[Comparison]:
    """Boot many containers of one template, and look at their time and memory."""
    found: dict[str, density.Density] = {}
    if shutil.which(PEERS["lxc"]):
        found["LXC"] = density.lxc(bench.peers, bench.containers)
    found["oven"] = density.oven(bench.containers)
    seconds = {name: [one.seconds] for name, one in found.items()}
    memory = {name: [one.megabytes] for name, one in found.items()}
    ours = found["oven"].megabytes
    title = f"{bench.containers} systemd containers of one template, each"
    return [
        Comparison(title, 1, rows(seconds), tuple(_at_most(rows(seconds)[-1:], 0.35))),
        Comparison(
            f"{title}: memory beyond the first",
            1,
            rows(memory),
            (judged("oven at most 8 MB", f"{ours:.1f} MB", met=ours <= 8),),
            "MB",
        ),
    ]


def listing(bench: Bench) -> Comparison:
    """List a thousand containers."""
    names = density.names(1000)
    try:
        density.make(names)
        contenders = [
            Contender("python -c pass", (PYTHON, "-c", "pass")),
            Contender("oven list", (OVEN, "list"), HOME),
        ]
        found = bench.compare("Listing 1,000 containers", contenders, {}, 5)
        return replace(found, goals=tuple(_at_most(found.rows[1:], 0.15)))
    finally:
        density.remove(names)


def work(bench: Bench) -> list[Comparison]:
    """Work inside, beside the host."""
    quiet(OVEN, "build", "--no-probe", str(inside.recipe()), env=HOME)
    rootfs = _rootfs("sysbench")
    inside.begin()
    repetitions = 5 * bench.repetitions  # what is synced varies by a fifth from turn to turn
    found = []
    for name in inside.WORK:
        sides: dict[str, Callable[[str], float]] = {
            "host": partial(inside.on_host, rootfs),
            "oven": inside.inside,
        }
        taken: dict[str, list[float]] = {"host": [], "oven": []}
        for turn in range(repetitions):
            # Whoever comes second finds a disk that is still busy with the first.
            for side in sorted(sides, reverse=turn % 2 == 1):
                os.sync()
                taken[side].append(sides[side](name))
        both = rows(taken)
        ratio = both[1].ratio
        goal = judged("oven at least 0.98 of the host", f"{ratio:.3f}", met=ratio >= 0.98)
        title = f"Work inside: {name} (more is better)"
        found.append(Comparison(title, repetitions, both, (goal,), "/s"))
    inside.end()
    return found


def churn(bench: Bench) -> Comparison:
    """Make, start and destroy containers in four loops side by side."""
    taken = {"oven, each": [density.churn(bench.cycles)]}
    title = f"{bench.cycles} times create, start, destroy in {density.LOOPS} loops"
    # What fails ends the benchmark.
    return Comparison(title, 1, rows(taken), ("no failure: met",))


ROWS: Mapping[str, Callable[[Bench], Comparison | list[Comparison]]] = {
    "once": once,
    "network": network,
    "exec": execute,
    "create": create,
    "boot": boot,
    "many": many,
    "list": listing,
    "work": work,
    "churn": churn,
}


def verdicts(found: Sequence[Row], goals: Mapping[str, float]) -> list[str]:
    """Write goals with what came out, for those peers that are there."""
    medians = {row.name: row.median for row in found}
    ours = next(value for name, value in medians.items() if name.startswith("oven"))
    ratios = {peer: ours / medians[peer] for peer in goals if peer in medians}
    return [
        judged(f"oven at most {goals[peer]} of {peer}", f"{ratio:.2f}", met=ratio <= goals[peer])
        for peer, ratio in ratios.items()
    ]


def judged(goal: str, found: str, *, met: bool) -> str:
    """Say what came out of a goal."""
    return f"{goal}: {found}, {'met' if met else 'MISSED'}"


def _at_most(found: Sequence[Row], seconds: float) -> list[str]:
    goal = f"at most {tell(seconds, 's')}"
    return [
        judged(f"{row.name} {goal}", tell(row.median, "s"), met=row.median <= seconds)
        for row in found
    ]


def _rootfs(template: str) -> Path:
    quiet(OVEN, "run", "--network", "none", template, "--", "true", env=HOME)  # unpacks it
    shown = json.loads(quiet(OVEN, "template", "show", "--json", template, env=HOME))
    return Path(shown["folder"], "rootfs")


def _large() -> str:
    """Build a template of 2 GB."""
    files = FOLDER / "recipes/large/overlay/srv/large"
    files.mkdir(parents=True, exist_ok=True)
    for number in range(LARGE):
        if not (path := files / str(number)).exists():
            path.write_bytes(os.urandom(1 << 10) * (1 << 10))
    recipe = files.parents[3] / "large.toml"
    about = '[template]\nname = "large"\nsummary = "Debian 12 and 2 GB"\n'
    recipe.write_text(f'from = "{density.TEMPLATE}"\n\n{about}')
    quiet(OVEN, "build", "--no-probe", str(recipe), env=HOME)
    _rootfs("large")
    return "large"


def _destroy() -> None:
    quiet(OVEN, "destroy", "--force", NAME, env=HOME)


def main() -> None:
    """Measure what is asked for, tell it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--repetitions", type=int, default=3, help="more take longer")
    parser.add_argument("--only", metavar="ROW,...", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--containers", type=int, default=100, help="for the row `many`")
    parser.add_argument("--cycles", type=int, default=200, help="for the row `churn`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the figures there")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(ROWS)
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    if min(arguments.repetitions, arguments.containers, arguments.cycles // density.LOOPS) < 1:
        parser.error("at least one of each has to be counted")
    needs("runc", "conmon")
    if os.geteuid() != 0:
        sys.exit("LXC and systemd-nspawn need root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install()
    bench = Bench(arguments.repetitions, arguments.containers, arguments.cycles)
    _measure(bench, chosen, arguments)


def _measure(bench: Bench, chosen: Sequence[str], arguments: argparse.Namespace) -> None:
    found: list[Comparison] = []
    try:
        for name in ROWS:
            if name in chosen:
                result = ROWS[name](bench)
                clear()
                for one in result if isinstance(result, list) else [result]:
                    found.append(one)
                    print(draw(one), flush=True)
    except RuntimeError as error:
        sys.exit(str(error))  # nothing is written: a part must not take the place of the whole
    finally:
        clear()
        with suppress(OSError):
            tidy()
    whole = set(chosen) == set(ROWS)
    if file := arguments.json or (RESULT if whole else None):
        write(found, file)
    if file := arguments.svg or (RESULT.with_suffix(".svg") if whole else None):
        file.write_text(chart.draw(found, "Oven beside runc, podman, LXC and systemd-nspawn"))


if __name__ == "__main__":
    main()
