"""Versions: what daily verbs cost in this checkout and in an older commit, in turns."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import FOLDER, empty, minimum, tidy
from benchmarks.runner import Comparison, Contender, draw, rows, take_turns, time_once
from benchmarks.runtimes import NAME, quiet

# Each version has a home and a virtual environment of its own, so that none reads what the other
# wrote. A container that has booted waits in each of them, and a stopped one beside it.

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = 20_000
"""Files of a folder that is copied."""


@dataclass(frozen=True)
class Version:
    """An installed Oven, and where it keeps what is its own."""

    name: str
    oven: str
    env: Mapping[str, str]

    @classmethod
    def of(cls, name: str, source: Path) -> "Version":
        """Install a checkout, and prepare a home for it."""
        folder = FOLDER / "versions" / name
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True)
        pip = (folder / "venv/bin/python", "-m", "pip", "install", "-qq")
        subprocess.run([*pip, source], check=True)
        return cls.at_home(name, str(folder / "venv/bin/oven"))

    @classmethod
    def at_home(cls, name: str, oven: str, others: int = 0) -> "Version":
        """Prepare a home with a template and two containers, and some more beside them."""
        home = FOLDER / "versions" / name / "home"
        home.mkdir(parents=True, exist_ok=True)
        made = cls(name, oven, {"OVEN_HOME": str(home)})
        made.clear()
        made.do("build", "--no-probe", TEMPLATE)
        for number in range(others):
            made.do("create", f"{NAME}-{number}", TEMPLATE, "--network", "none")
        made.do("run", TEMPLATE, "--name", made.running, "--network", "none")
        made.do("create", made.idle, TEMPLATE, "--network", "none")
        return made

    @property
    def running(self) -> str:
        """The container that has booted."""
        return f"{NAME}-{self.name}"

    @property
    def idle(self) -> str:
        """The container that is stopped."""
        return f"{NAME}-{self.name}-idle"

    def do(self, *argv: str) -> None:
        """Run a command that only prepares."""
        quiet(self.oven, *argv, env=dict(self.env))

    def clear(self) -> None:
        """Remove the containers of this version and of runs that were broken off."""
        names = quiet(self.oven, "list", "--quiet", env=dict(self.env), fails=True).split()
        if names:
            quiet(self.oven, "destroy", "--force", *names, env=dict(self.env), fails=True)


TEMPLATE = "debian-bookworm"


def _plain(*argv: str) -> Callable[[Version], Contender]:
    """Make a row of one command; `RUNNING` and `IDLE` are the containers' names."""

    def make(one: Version) -> Contender:
        names = {"RUNNING": one.running, "IDLE": one.idle}
        return Contender(one.name, (one.oven, *(names.get(word, word) for word in argv)), one.env)

    return make


def _start(one: Version) -> Contender:
    return Contender(
        one.name,
        (one.oven, "start", one.idle),
        one.env,
        after=lambda: one.do("stop", one.idle),
    )


def _copy(one: Version) -> Contender:
    source = FOLDER / "versions/files"
    if not source.exists():
        source.mkdir(parents=True)
        for number in range(PAGES):
            (source / f"{number:05}").write_text(f"{number}\n")
    argv = (one.oven, "cp", str(source), f"{one.running}:/srv/files")
    emptied = ("exec", one.running, "--", "rm", "-rf", "/srv/files")
    return Contender(one.name, argv, one.env, before=lambda: one.do(*emptied))


def _cold(one: Version) -> Contender:
    """A build whose packages are here, and nothing else."""

    def forget() -> None:
        store = Path(one.env["OVEN_HOME"]) / "cache/v1"
        for name in ("actions", "expanded", "trees"):
            if (store / name).exists():
                (store / name).rename(empty(f"gone-{one.name}-{name}") / name)

    argv = (one.oven, "build", "--no-probe", str(minimum()), "-o", str(empty(f"out-{one.name}")))
    return Contender(one.name, argv, one.env, before=forget)


ROWS: Mapping[str, Callable[[Version], Contender]] = {
    "version": _plain("--version"),
    "list": _plain("list"),
    "show": _plain("show", "RUNNING"),
    "exec": _plain("exec", "RUNNING", "--", "true"),
    "run": _plain("run", "--rm", "--network", "none", TEMPLATE, "--", "true"),
    "start": _start,
    "cp": _copy,
    "unchanged": _plain("build", "--no-probe", TEMPLATE),
    "cold": _cold,
}
"""What is measured; a row is the same command line for both versions."""
CROWD = ("show", "exec", "run", "start")
"""Rows that are measured beside many other containers, too."""


def main() -> None:
    """Measure what is asked for, and tell it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the older version, as git names it")
    parser.add_argument("-n", "--repetitions", type=int, default=15, help="counted runs of each")
    parser.add_argument(
        "--beside", type=int, default=0, metavar="N",
        help=f"then {', '.join(CROWD)} of this checkout alone and beside N other containers",
    )  # fmt: skip
    parser.add_argument("--only", metavar="ROW,...", help=f"some of: {', '.join(ROWS)}")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(ROWS)
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    if os.geteuid() != 0:
        sys.exit("containers of both versions are root's: run this as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    versions: list[Version] = []
    try:
        versions += [Version.of("before", _exported(arguments.commit))]
        versions += [Version.of("after", CHECKOUT)]
        for name in chosen:
            print(draw(_compared(name, versions, arguments.repetitions)), flush=True)
        if arguments.beside:
            alone = versions[1]
            crowded = Version.at_home("beside", alone.oven, arguments.beside)
            versions.append(crowded)
            for name in CROWD:
                print(draw(_compared(name, [alone, crowded], arguments.repetitions)), flush=True)
    except RuntimeError as error:
        sys.exit(str(error))
    finally:
        for one in versions:
            one.clear()
        tidy()


def _exported(commit: str) -> Path:
    """Give the files of a commit."""
    folder = empty("versions-source")
    packed = subprocess.run(
        ["git", "archive", commit], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=packed, check=True)
    return folder


def _compared(name: str, versions: list[Version], repetitions: int) -> Comparison:
    contenders = [ROWS[name](one) for one in versions]
    for one in contenders:  # the first turn of each warms caches
        time_once(one)
    taken = take_turns(name, contenders, time_once, repetitions=repetitions)
    return Comparison(name, repetitions, rows(taken))


if __name__ == "__main__":
    main()
