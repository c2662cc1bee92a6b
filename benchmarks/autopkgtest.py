"""The tests that Debian keeps for its packages, in containers of Oven and in those of LXC."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bench import FOLDER, OVEN, install, needs
from benchmarks.outcomes import Outcome, failed, keep, load, read, unmatched
from benchmarks.runtimes import HOME, quiet
from benchmarks.testbeds import ENV, HOLDER, Server, inside, servers

# Both are given the tree of one template and the same network, and test a package one after the
# other. What counts is that nothing fails in Oven that passes in LXC.

RESULT = Path(__file__).resolve().parent.parent / "docs/benchmarks/autopkgtest.json"
"""What is known, with the page beside it; a run of some packages keeps the others."""
RUNS = FOLDER / "autopkgtest"
"""A folder for each package, and in it one for each server, as autopkgtest writes it."""
PACKAGES = (
    "acl", "apache2", "bubblewrap", "bzip2", "cron", "curl", "dash", "dbus", "debianutils",
    "debootstrap", "dovecot", "file", "gzip", "iproute2", "iptables", "less", "libcap2",
    "logrotate", "mawk", "netcat-openbsd", "nftables", "nginx", "openssh", "postfix", "procps",
    "redis", "rsync", "sed", "sudo", "systemd", "tmux", "util-linux",
)  # fmt: skip
SOME = {"systemd": ("timedated", "hostnamed", "localed-locale", "logind", "unit-config")}
"""Packages of which only a part is tried: the rest needs a machine, or hours."""
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


def run(server: Server, package: str, timeout: int) -> Outcome:
    """Test a package; what autopkgtest writes is kept."""
    folder = RUNS / package / server.name
    shutil.rmtree(folder, ignore_errors=True)
    argv = ["autopkgtest", f"--output-dir={folder}", "--setup-commands=apt-get update"]
    argv += ["--no-built-binaries", f"--timeout-test={timeout}", f"--timeout-build={timeout}"]
    argv += [f"--test-name={one}" for one in SOME.get(package, ())]
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
    return outcome(package, server.name, code)


def fetch(package: str) -> None:
    """Have the source of a package, unpacked, in its folder."""
    target = RUNS / package / "source"
    if target.exists():
        return
    inside(UNPACK, package)
    target.parent.mkdir(parents=True, exist_ok=True)
    quiet(OVEN, "cp", f"{HOLDER}:/srv/{package}/source", str(target), env=HOME)


def outcome(package: str, server: str, status: int) -> Outcome:
    """Read what came out of each test of a package."""
    try:
        text = (RUNS / package / server / "summary").read_text()
    except FileNotFoundError:  # the testbed broke before the first
        text = ""
    return Outcome(status, read(text))


def measure(found: Sequence[Server], repetitions: int) -> dict[str, float]:
    """Take the seconds from the wish to revert until the testbed is ready again."""
    return {one.name: one.revert(repetitions) for one in found}


def main() -> None:
    """Test what is asked for, and write the table of all that is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="PACKAGE,...", help=f"some of: {', '.join(PACKAGES)}")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that a test may take")
    parser.add_argument(
        "-n", "--repetitions", type=int, default=5, help="counted reverts; 0: keep what is known"
    )
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else PACKAGES
    if os.geteuid() != 0:
        sys.exit("LXC needs root")
    needs("autopkgtest", "lxc-copy")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install()
    known = load(RESULT)
    with servers() as found:
        if arguments.repetitions or not known.reverts:
            known.reverts = measure(found, arguments.repetitions or 1)
            keep(known, RESULT)
        for package in chosen:
            try:
                fetch(package)
            except RuntimeError as error:
                print(f"{package} is left out: {str(error).splitlines()[-1]}", flush=True)
                continue
            # What is cut off in the middle is not kept.
            both = {one.name: run(one, package, arguments.timeout) for one in found}
            known.packages[package] = both
            keep(known, RESULT)
            tell(package, both)


def tell(package: str, both: Mapping[str, Outcome]) -> None:
    """Say on the screen how a package did."""
    worse = ", ".join(failed(both["oven"].tests, both["lxc"].tests)) or "none"
    apart = "".join(f"; {one}" for one in unmatched(both))
    count = len(both["oven"].tests)
    print(f"{package}: {count} tests; worse than in LXC: {worse}{apart}", flush=True)


if __name__ == "__main__":
    main()
