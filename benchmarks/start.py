"""Starting: the command itself, one process in a container, and a whole boot."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import FOLDER, OVEN, PYTHON, empty, install, needs
from benchmarks.runner import Comparison, Contender, compare, main

TEMPLATE = "debian-bookworm"
HOME = {"OVEN_HOME": str(FOLDER / "home")}
NAME = f"benchmark-{os.getpid()}"


def run(arguments: argparse.Namespace) -> Sequence[Comparison]:
    """Compare with bare Python, and with the OCI runtime on the same tree."""
    needs("runc")
    install()
    rootfs = template()
    once = ("run", "--rm", "--network", "none", TEMPLATE, "--", "true")
    boot = ("run", "--network", "none", "--name", NAME, TEMPLATE)
    return (
        compare(
            "start of the command",
            [
                Contender("python -c pass", (PYTHON, "-c", "pass")),
                Contender("oven --version", (OVEN, "--version")),
                Contender("oven --help", (OVEN, "--help")),
            ],
            repetitions=4 * arguments.repetitions,
        ),
        compare(
            "one command in a container without network",
            [
                Contender("runc run", ("runc", "run", "-b", str(bundle(rootfs)), NAME)),
                Contender("oven run", (OVEN, *once), HOME),
            ],
            repetitions=4 * arguments.repetitions,
        ),
        compare(
            "boot of a template until it is ready",
            [Contender("oven run", (OVEN, *boot), HOME, after=destroy)],
            repetitions=2 * arguments.repetitions,
        ),
    )


def template() -> Path:
    """Build the template where it is not there yet; give its tree."""
    _oven("build", "--no-probe", TEMPLATE)
    shown = json.loads(_oven("template", "show", "--json", TEMPLATE))
    return Path(shown["folder"], "rootfs")


def bundle(rootfs: Path) -> Path:
    """Write what bare runc needs to run `true` in the same tree, with runc's own defaults."""
    folder = empty("bundle")
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["process"].update(terminal=False, args=["true"])
    config["root"] = {"path": str(rootfs), "readonly": True}
    file.write_text(json.dumps(config))
    return folder


def destroy() -> None:
    """Remove the container that has just booted."""
    _oven("destroy", "--force", NAME)


def _oven(*arguments: str) -> str:
    env = {**os.environ, **HOME}
    done = subprocess.run([OVEN, *arguments], env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main(__doc__, run)
