"""The tests that Debian keeps for its packages, in containers of Oven and in those of LXC."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bench import FOLDER, OVEN, install, needs
from benchmarks.runtimes import HOME, quiet
from benchmarks.testbeds import ENV, HOLDER, Server, inside, servers

# Both are given the tree of one template and the same network, and test a package one after the
# other. What counts is that nothing fails in Oven that passes in LXC.

RESULT = Path(__file__).resolve().parent.parent / "docs/benchmarks/autopkgtest.md"
RUNS = FOLDER / "autopkgtest"
"""A folder for each package, and in it one for each server, as autopkgtest writes it."""
REVERTS = RUNS / "reverts.json"
PACKAGES = (
    "apache2", "bubblewrap", "cron", "curl", "dash", "dbus", "debootstrap", "dovecot", "gzip",
    "iproute2", "iptables", "libcap2", "nftables", "nginx", "openssh", "postfix",
    "procps", "redis", "rsync", "sed", "sudo", "systemd", "util-linux",
)  # fmt: skip
UNPACK = """\
set -e
apt-get -q update
mkdir "/srv/$1"
cd "/srv/$1"
apt-get -q source --download-only "$1" || true
sed -i '/[.]asc$/d' ./*.dsc
dpkg-source --no-check --extract ./*.dsc source
"""
"""Mirrors may lack the signatures of those who made a source; whatever else lacks ends this."""
TOLD = (0, 2, 4, 6, 8)
"""Statuses by which autopkgtest tells of tests; others are of a testbed that broke."""

Results = Mapping[str, str]


def run(server: Server, package: str, timeout: int) -> None:
    """Test a package; what autopkgtest writes is kept."""
    folder = RUNS / package / server.name
    shutil.rmtree(folder, ignore_errors=True)
    argv = ["autopkgtest", f"--output-dir={folder}", f"--timeout-test={timeout}"]
    argv += ["--setup-commands=apt-get update", "--no-built-binaries"]
    with folder.with_suffix(".txt").open("w") as told:
        process = subprocess.Popen(
            [*argv, str(RUNS / package / "source"), "--", *server.argv],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENV},
        )
        try:
            code = process.wait()
        finally:
            process.terminate()  # it leaves no testbed
            process.wait()
    if code not in TOLD:
        print(f"{package}, {server.name}: autopkgtest ended with {code}", flush=True)


def fetch(package: str) -> None:
    """Have the source of a package, unpacked, in its folder."""
    target = RUNS / package / "source"
    if target.exists():
        return
    inside(UNPACK, package)
    target.parent.mkdir(parents=True, exist_ok=True)
    quiet(OVEN, "cp", f"{HOLDER}:/srv/{package}/source", str(target), env=HOME)


def results(package: str, server: str) -> Results:
    """Read what came out of each test of a package."""
    try:
        text = (RUNS / package / server / "summary").read_text()
    except FileNotFoundError:
        return {}
    return read(text)


def read(summary: str) -> Results:
    """Take a summary of autopkgtest apart: the test, the result, and why.

    >>> read("cron PASS\\nall SKIP Test requires machine-level isolation\\n")
    {'cron': 'PASS', 'all': 'SKIP Test requires machine-level isolation'}
    """
    rows = (line.split(None, 1) for line in summary.splitlines() if line[:1].strip())
    return {name: " ".join(told.split()) for name, told in rows}


def draw(found: Mapping[str, Sequence[Results]], reverts: Mapping[str, float]) -> str:
    """Draw a row for each test: what came out in Oven, and in LXC."""
    alike = Counter(word for both in found.values() for word in _alike(*both))
    told = ", ".join(f"{alike[word]} {word} in both" for word in ("PASS", "SKIP", "FAIL"))
    worse = [f"`{one}` of {name}" for name, both in found.items() for one in failed(*both)]
    lines = [
        "# Tests of Debian packages", "",
        f"Written by `python -m benchmarks.autopkgtest`: tests of {len(found)} source packages",
        "of Debian 12, by [autopkgtest](../how-to/test-debian-packages.md), in containers of Oven",
        "and in those of LXC (`autopkgtest-virt-lxc --ephemeral`) with the tree of one template.",
        f"Of the tests, {told}. What passes with LXC and not with Oven:",
        f"{', '.join(worse) or 'none'}.", "",
        "| | Oven | LXC |", "|---|---|---|",
        f"| seconds per revert | {reverts['oven']:.2f} | {reverts['lxc']:.2f} |", "",
        "| package | test | Oven | LXC |", "|---|---|---|---|",
    ]  # fmt: skip
    for package, (ours, theirs) in found.items():
        for name in dict.fromkeys([*ours, *theirs]):
            shown = (one.get(name, "did not run").replace("|", "\\|") for one in (ours, theirs))
            lines.append(f"| {package} | `{name}` | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def failed(ours: Results, theirs: Results) -> list[str]:
    """Name the tests that pass there and not here."""
    good = [name for name, told in theirs.items() if told.startswith("PASS")]
    return [name for name in good if not ours.get(name, "").startswith("PASS")]


def _alike(ours: Results, theirs: Results) -> list[str]:
    """Give the first word of each result that is the same in both."""
    first = ((told.split()[0], theirs.get(name, "-").split()[0]) for name, told in ours.items())
    return [word for word, there in first if word == there]


def measure(found: Sequence[Server], repetitions: int) -> dict[str, float]:
    """Take the seconds from the wish to revert until the testbed is ready again."""
    return {one.name: one.revert(repetitions) for one in found}


def main() -> None:
    """Test what is asked for, and write the table of all that is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="PACKAGE,...", help=f"some of: {', '.join(PACKAGES)}")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that a test may take")
    parser.add_argument("-n", "--repetitions", type=int, default=5, help="counted reverts")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else PACKAGES
    if os.geteuid() != 0:
        sys.exit("LXC needs root")
    needs("autopkgtest", "lxc-copy")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install()
    with servers() as found:
        REVERTS.parent.mkdir(parents=True, exist_ok=True)
        REVERTS.write_text(json.dumps(measure(found, arguments.repetitions)))
        for package in chosen:
            try:
                fetch(package)
            except RuntimeError as error:
                print(f"{package} is left out: {str(error).splitlines()[-1]}", flush=True)
                continue
            for server in found:
                run(server, package, arguments.timeout)
            ours, theirs = (results(package, one.name) for one in found)
            worse = ", ".join(failed(ours, theirs)) or "none"
            print(f"{package}: {len(ours)} tests; worse than in LXC: {worse}", flush=True)
            write()


def write() -> None:
    """Write the table of all packages that have been tested."""
    tested = [name for name in PACKAGES if results(name, "oven") or results(name, "lxc")]
    found = {name: (results(name, "oven"), results(name, "lxc")) for name in tested}
    RESULT.write_text(draw(found, json.loads(REVERTS.read_text())))


if __name__ == "__main__":
    main()
