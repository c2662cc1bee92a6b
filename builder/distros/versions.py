"""Which of two versions is newer, as the package manager of the packages sees it."""

import re

from builder.distros.changes import VersionOrder
from builder.host.programs import Command, Runner, find_program
from builder.model.lock import Lock

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^:-]*\Z")
"""What versions are made of (deb-version(7), rpm-version(7)); no macro can hide in that."""


def order_of(lock: Lock, run: Runner) -> VersionOrder:
    """Give the order of versions that holds for a lock's packages, by the kind of their files."""
    names = [package.path for package in lock.packages[:1]]
    if any(name.endswith((".deb", ".udeb")) for name in names):
        return DebianOrder(run)
    if any(name.endswith(".rpm") for name in names) and find_program("rpm") is not None:
        return RpmOrder(run)
    return unknown_order


class DebianOrder:
    """Compares as dpkg does (deb-version(7))."""

    def __init__(self, run: Runner) -> None:
        self._run = run

    def __call__(self, one: str, other: str, /) -> int | None:
        """Compare `[EPOCH:]UPSTREAM[-REVISION]`; None when it cannot be told."""
        from debian_inspector.version import compare_versions

        try:
            return int(compare_versions(one, other))
        except ValueError:
            # It is stricter than the archive, where some versions end in a `+`.
            return self._ask(one, other) if find_program("dpkg") else None

    def _ask(self, one: str, other: str) -> int | None:
        for relation, sign in (("lt", -1), ("eq", 0), ("gt", 1)):
            argv = ("dpkg", "--compare-versions", "--", one, relation, other)
            if PLAIN.match(one) and PLAIN.match(other) and self._run(Command(argv)).code == 0:
                return sign
        return None


class RpmOrder:
    """Compares as rpm does (rpm-version(7)), by asking it."""

    def __init__(self, run: Runner) -> None:
        self._run = run

    def __call__(self, one: str, other: str, /) -> int | None:
        """Compare `[EPOCH:]VERSION-RELEASE`; None when rpm cannot tell."""
        if not (PLAIN.match(one) and PLAIN.match(other)):
            return None
        # Only what has been checked gets into the program.
        program = f'%{{lua:print(rpm.vercmp("{one}", "{other}"))}}'
        done = self._run(Command(("rpm", "--eval", program)))
        answer = done.stdout.decode(errors="replace").strip()
        return int(answer) if done.code == 0 and answer in {"-1", "0", "1"} else None


def unknown_order(one: str, other: str, /) -> int | None:
    """Know nothing of versions."""
    del one, other
    return None
