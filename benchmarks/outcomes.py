"""What came out of the tests of Debian packages, kept as JSON and drawn as a page."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

TOLD = (0, 2, 4, 6, 8)
"""Statuses by which autopkgtest tells of tests; others are of a testbed that broke."""
SERVERS = {"oven": "Oven", "lxc": "LXC"}
WORDS = ("PASS", "SKIP", "FLAKY", "FAIL")
"""What autopkgtest says of tests; of those that are flaky, a failure fails nothing."""
FLAWS = {
    ("cron", "check-significant-header"): "has an editor that `/usr/bin/python3` runs, "
    "and does not ask for Python.",
}
"""What keeps tests from passing wherever they run."""

Tests = Mapping[str, str]
"""Results of a package's tests, by their names."""


@dataclass(frozen=True)
class Outcome:
    """What one server came to with one package."""

    status: int
    tests: dict[str, str]


@dataclass
class Outcomes:
    """All that is known: outcomes by package and server, and seconds per revert by server."""

    packages: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    reverts: dict[str, float] = field(default_factory=dict)


def load(file: Path) -> Outcomes:
    """Read what runs before this one have found."""
    if not file.exists():
        return Outcomes()
    kept = json.loads(file.read_text())
    packages = {
        name: {server: Outcome(**one) for server, one in both.items()}
        for name, both in kept["packages"].items()
    }
    return Outcomes(packages, kept["reverts"])


def keep(known: Outcomes, file: Path) -> None:
    """Write what is known, whole or not at all, and the page beside it."""
    known = Outcomes(dict(sorted(known.packages.items())), known.reverts)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(known), indent=2) + "\n")
    draft.replace(file)
    file.with_suffix(".md").write_text(draw(known))


def read(summary: str) -> dict[str, str]:
    """Take a summary of autopkgtest apart: the test, the result, and why.

    >>> read("cron PASS\\nall SKIP Test requires machine-level isolation\\n")
    {'cron': 'PASS', 'all': 'SKIP Test requires machine-level isolation'}
    """
    rows = (line.split(None, 1) for line in summary.splitlines() if line[:1].strip())
    return {name: " ".join(told.split()) for name, told in rows}


def failed(ours: Tests, theirs: Tests) -> list[str]:
    """Name the tests that pass there and not here."""
    good = [name for name, told in theirs.items() if told.startswith("PASS")]
    return [name for name in good if not ours.get(name, "").startswith("PASS")]


def unmatched(both: Mapping[str, Outcome]) -> Iterator[str]:
    """Say where the two cannot be compared: a testbed that broke, tests that one did not get to."""
    names = dict.fromkeys(name for one in both.values() for name in one.tests)
    for server, one in both.items():
        lacks = [f"`{name}`" for name in names if name not in one.tests]
        if one.status not in TOLD:
            yield f"the testbed of {SERVERS[server]} broke (status {one.status})"
        elif not one.tests:
            yield f"{SERVERS[server]} ran no test (status {one.status})"
        if lacks:
            yield f"{SERVERS[server]} did not get to {', '.join(lacks)}"


def draw(known: Outcomes) -> str:
    """Draw a row for each test: what came out in Oven, and in LXC."""
    found = {name: (both["oven"], both["lxc"]) for name, both in known.packages.items()}
    alike = Counter(word for ours, theirs in found.values() for word in _alike(ours, theirs))
    told = ", ".join(f"{alike[word]} {word} in both" for word in WORDS)
    worse = [
        f"`{name}` of {package}"
        for package, (ours, theirs) in found.items()
        for name in failed(ours.tests, theirs.tests)
    ]
    apart = [
        f"- {package}: {lack}"
        for package, both in known.packages.items()
        for lack in unmatched(both)
    ]
    lines = [
        "# Tests of Debian packages", "",
        f"Written by `python -m benchmarks.autopkgtest`: tests of {len(found)} source packages",
        "of Debian 12, by [autopkgtest](../how-to/test-debian-packages.md), in containers of Oven",
        "and in those of LXC (`autopkgtest-virt-lxc --ephemeral`) with the tree of one template.",
        f"Of the tests, {told}. What passes with LXC and not with Oven:",
        f"{', '.join(worse) or 'none'}.", "",
        *_section("Not compared, as one of the two does not tell of it", apart),
        *_section("Flaws of tests, in both", _flaws(known)),
        "| | Oven | LXC |", "|---|---|---|",
        f"| seconds per revert | {' | '.join(f'{known.reverts[one]:.2f}' for one in SERVERS)} |",
        "", "| package | test | Oven | LXC |", "|---|---|---|---|",
    ]  # fmt: skip
    lines += [row for package, both in found.items() for row in _rows(package, *both)]
    return "\n".join(lines) + "\n"


def _section(title: str, items: list[str]) -> list[str]:
    """Give a list under its title; nothing, if that is what there is to tell."""
    return [f"{title}:", "", *items, ""] if items else []


def _flaws(known: Outcomes) -> list[str]:
    return [
        f"- `{name}` of {package} {why}"
        for (package, name), why in FLAWS.items()
        if package in known.packages
    ]


def _rows(package: str, ours: Outcome, theirs: Outcome) -> Iterator[str]:
    """Give a line of the table for each test."""
    names = dict.fromkeys([*ours.tests, *theirs.tests])
    for name in names or ("none",):
        both = (one.tests.get(name, "did not run").replace("|", "\\|") for one in (ours, theirs))
        yield f"| {package} | `{name}` | {' | '.join(both)} |"


def _alike(ours: Outcome, theirs: Outcome) -> list[str]:
    """Give the first word of each result that is the same in both."""
    both = ((told.split()[0], theirs.tests.get(name, "-")) for name, told in ours.tests.items())
    return [word for word, there in both if word == there.split()[0]]
