"""Building: the table of work that a maintainer does, side by side with other tools in one run."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from benchmarks import chart, peers
from benchmarks.bench import FOLDER, MINIMUM, OVEN, PYTHON, empty, install, needs, tidy
from benchmarks.memory import peak
from benchmarks.runner import (
    Comparison,
    Contender,
    Row,
    compare,
    draw,
    rows,
    take_turns,
    time_once,
    write,
)

# Every contender makes a tar.zst of the same packages, from the same mirror; none of Oven's builds
# boots its result. Nothing is counted that only prepares a turn.

CHECKOUT = Path(__file__).resolve().parent.parent
RESULT = CHECKOUT / "docs/benchmarks/build.json"

ADDED = ("tree", "less")
"""The small packages that are added: one of files only, and one for which dpkg has to run."""

OVERLAID = "etc/motd"
"""The file that is changed."""


@dataclass
class Bench:
    """One run of the benchmark."""

    repetitions: int
    mkosi_programs: Sequence[str]
    known: dict[str, Row] = field(default_factory=dict)
    """What was measured already, and need not be again within this run."""

    @cached_property
    def recipe(self) -> Path:
        """A recipe of the packages that the others call minbase."""
        return _recipe("minimum")

    @cached_property
    def warm(self) -> Path:
        """A home in which the recipe was built; turns work on copies of it."""
        home = empty("warm")
        _run(_build(self.recipe), home)
        return home

    @cached_property
    def mkosis(self) -> list[peers.Mkosi]:
        """Each mkosi that can run here, told of the packages of our own lock."""
        names = [str(package["name"]) for package in _lock(self.warm, "minimum")]
        found = [peers.Mkosi(program, names) for program in self.mkosi_programs]
        for one in found:
            if one.lacks:
                print(f"{one.name} is left out: {one.lacks}\n")
        return [one for one in found if not one.lacks]

    def mmdebstrap(self) -> Row:
        """Give the whole time of mmdebstrap, which has no cache."""
        if "mmdebstrap" not in self.known:
            found = take_turns(
                "mmdebstrap", [peers.mmdebstrap()], time_once, repetitions=self.repetitions
            )
            self.known |= {row.name: row for row in rows(found)}
        return self.known["mmdebstrap"]

    def against(
        self, first: Row | None, title: str, contenders: Sequence[Contender], *goals: str
    ) -> Comparison:
        """Measure contenders, each turn counted, and compare them with what was measured before."""
        taken = take_turns(title, contenders, time_once, repetitions=self.repetitions)
        found = rows(taken)
        if first is not None:
            found = (first, *(replace(row, ratio=row.median / first.median) for row in found))
        return Comparison(title, self.repetitions, found, goals)


def cold(bench: Bench) -> Comparison:
    """Build with nothing cached, the archive's index included."""
    ours = Contender("oven", _build(bench.recipe), _home("cold"), before=lambda: _forget("cold"))
    others = [peers.mmdebstrap(), peers.debootstrap(), *(one.cold() for one in bench.mkosis)]
    title = "Cold: nothing cached, index included"
    found = bench.against(None, title, [*others, ours], "oven at most 0.40 of mmdebstrap")
    bench.known[found.rows[0].name] = found.rows[0]
    _tell_packages(bench, FOLDER / "peers/mmdebstrap.tar.zst")
    return found


def packages(bench: Bench) -> Comparison:
    """Build from package files and a lock that are there, but from no tree."""

    def contender(name: str, *kept: str) -> Contender:
        def before() -> None:
            _forget("packages")
            _keep_packages(bench.warm, FOLDER / "packages", "minimum", *kept)

        return Contender(name, _build(bench.recipe), _home("packages"), before=before)

    return bench.against(
        bench.mmdebstrap(),
        "Packages cached",
        [contender("oven, package files"), contender("oven, also taken apart", "expanded")],
        "oven at most 0.18 of mmdebstrap",
    )


def package(bench: Bench) -> Comparison:
    """Add one small package to a recipe whose other results are all remembered."""
    argv, home = _build(FOLDER / "added/minimum.toml"), _home("package")
    contenders = []
    for name in ADDED:
        added = partial(_write_added, name)
        added()
        knows = empty(f"more-{name}")
        _copy(bench.warm, knows)
        _run(argv, knows)
        for how, home_of_lock in (("", knows), (", locking, fetching", None)):
            before = partial(_remember, bench.warm, added, home_of_lock)
            contenders.append(Contender(f"oven, {name}{how}", argv, home, before=before))
    title = "One small package added to a recipe"
    return bench.against(bench.mmdebstrap(), title, contenders, "oven at most 0.08 of mmdebstrap")


def _write_added(name: str) -> None:
    """Write the recipe of the minimum and one package more."""
    recipe = FOLDER / "added/minimum.toml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(f'{MINIMUM}\n[packages]\ninstall = ["{name}"]\n')


def _remember(warm: Path, added: Callable[[], None], knows: Path | None) -> None:
    """Prepare a home in which all is remembered but the package; perhaps its lock and its file."""
    added()
    _forget("package")
    _copy(warm, FOLDER / "package")
    if knows is not None:
        _keep_packages(knows, FOLDER / "package", "minimum")


def overlay(bench: Bench) -> Comparison:
    """Change one file that is laid over the packages, and have the new tarball."""
    file = FOLDER / "recipes/overlaid/overlay" / OVERLAID
    file.parent.mkdir(parents=True, exist_ok=True)
    count = iter(range(1_000_000))

    def change(path: Path) -> None:
        path.write_text(f"Change {next(count)} of {os.getpid()}.\n")

    change(file)
    recipe = _recipe("overlaid")
    argv, env = (*_build(recipe), "-o", str(FOLDER / "out")), {"OVEN_HOME": str(bench.warm)}
    _run(argv, bench.warm)
    contenders = []
    for one in bench.mkosis:
        again, extra = one.incremental(), one.overlay / OVERLAID
        one.forget()
        time_once(again)
        contenders.append(replace(again, before=partial(change, extra)))
    ours = Contender("oven", argv, env, before=partial(change, file))
    title = "One overlay file changed, new tarball out"
    goals = ("oven at most 0.15 of mkosi", "oven at most 1.2 s")
    return bench.against(None, title, [*contenders, ours], *goals)


def nothing(bench: Bench) -> Comparison:
    """Build again when nothing has changed."""
    argv, env = _build(bench.recipe), {"OVEN_HOME": str(bench.warm)}
    contenders = [Contender("python -c pass", (PYTHON, "-c", "pass")), Contender("oven", argv, env)]
    found = compare("Nothing changed", contenders, repetitions=4 * bench.repetitions)
    return replace(found, goals=("oven at most 0.25 s",))


def memory(bench: Bench) -> Comparison:
    """Build cold, and look at how much memory is used at one time."""
    ours = Contender("oven", _build(bench.recipe), _home("cold"), before=lambda: _forget("cold"))
    others = [peers.mmdebstrap(), peers.debootstrap(), *(one.cold() for one in bench.mkosis)]
    title, goal = "Peak memory of a cold build, children included", "mmdebstrap plus 100 MB"
    taken = take_turns(title, [*others, ours], peak, repetitions=1)
    return Comparison(title, 1, rows(taken), (f"oven at most {goal}",), "MB")


ROWS: Mapping[str, Callable[[Bench], Comparison]] = {
    "cold": cold,
    "packages": packages,
    "package": package,
    "overlay": overlay,
    "nothing": nothing,
    "memory": memory,
}


def _recipe(name: str) -> Path:
    """Write the smallest recipe under a name; give its path."""
    path = FOLDER / "recipes" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINIMUM.replace('"minimum"', f'"{name}"'))
    return path


def _build(recipe: Path) -> tuple[str, ...]:
    return (OVEN, "build", "--no-probe", str(recipe))


def _home(name: str) -> dict[str, str]:
    return {"OVEN_HOME": str(FOLDER / name)}


def _forget(name: str) -> None:
    """Start over: no package, no tree, no note."""
    empty(name)


def _run(argv: tuple[str, ...], home: Path) -> None:
    time_once(Contender("preparing oven", argv, {"OVEN_HOME": str(home)}))


def _copy(home: Path, target: Path) -> None:
    """Copy a home; its files are never written to, so links will do."""
    subprocess.run(["cp", "-al", f"{home}/.", str(target)], check=True)


def _keep_packages(home: Path, target: Path, name: str, *more: str) -> None:
    """Give a home the indexes, locks and package files of another one, and nothing made of them."""
    (store,) = home.glob("cache/v*")
    there = target / "cache" / store.name
    for part in ("apt", "locks"):
        _link(home / "cache" / part, target / "cache" / part)
    for one in _lock(home, name):
        sha256 = str(one["sha256"])
        file = there / "blobs" / sha256[:2] / sha256
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            os.link(store / "blobs" / sha256[:2] / sha256, file)
    for part in more:
        _link(store / part, there / part)


def _link(folder: Path, target: Path) -> None:
    """Copy a folder as links, in place of what is there."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-al", folder, target], check=True)


def _lock(home: Path, name: str) -> list[dict[str, object]]:
    (file,) = (home / "cache/locks").glob(f"{name}-*.json")
    found: list[dict[str, object]] = json.loads(file.read_bytes())["packages"]
    return found


def _tell_packages(bench: Bench, archive: Path) -> None:
    """Say in what the two differ, since a comparison of different work is none."""
    ours = {f"{one['name']} {one['version']}" for one in _lock(bench.warm, "minimum")}
    theirs = _packages(archive)
    differing = ", ".join(sorted(ours ^ theirs)) or "none"
    print(f"packages: oven {len(ours)}, mmdebstrap {len(theirs)}; in only one: {differing}\n")


def _packages(archive: Path) -> set[str]:
    data = subprocess.run(["zstd", "-dcq", str(archive)], check=True, capture_output=True).stdout
    (FOLDER / "listed.tar").write_bytes(data)
    with tarfile.open(FOLDER / "listed.tar") as tar:
        status = tar.extractfile("./var/lib/dpkg/status")
        assert status is not None
        text = status.read().decode()
    found = [
        dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
        for paragraph in text.strip().split("\n\n")
    ]
    return {f"{one['Package']} {one['Version']}" for one in found}


def main() -> None:
    """Measure what is asked for, tell it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--repetitions", type=int, default=3, help="counted runs of each")
    parser.add_argument("--only", metavar="ROW,...", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument(
        "--mkosi",
        metavar="PROGRAM",
        action="append",
        help="measure this mkosi, and not the one of $PATH; may be given again",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the figures there")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(ROWS)
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    if arguments.repetitions < 1:
        parser.error("at least one run has to be counted")
    needs("mmdebstrap", "debootstrap", "zstd")
    if os.geteuid() != 0:
        sys.exit("debootstrap and mkosi need root")
    found_mkosi = shutil.which("mkosi")
    programs = arguments.mkosi or ([found_mkosi] if found_mkosi else [])
    tidy()
    install()
    try:
        _measure(Bench(arguments.repetitions, programs), chosen, arguments)
    finally:
        tidy()


def _measure(bench: Bench, chosen: Sequence[str], arguments: argparse.Namespace) -> None:
    empty("out")
    found = []
    for name in ROWS:
        if name in chosen:
            found.append(ROWS[name](bench))
            print(draw(found[-1]), flush=True)
    # A part of the table must not take the place of the whole.
    whole = len(found) == len(ROWS)
    if file := arguments.json or (RESULT if whole else None):
        write(found, file)
    if file := arguments.svg or (RESULT.with_suffix(".svg") if whole else None):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(chart.draw(found))


if __name__ == "__main__":
    main()
