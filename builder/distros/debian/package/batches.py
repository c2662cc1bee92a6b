"""Batches: which packages of a layer can be added later without a trace of when they came."""

import re
from collections.abc import Mapping

from builder.distros.debian.package.control import Control, read_control
from builder.distros.debian.package.unpack import blob_of
from builder.host.process.threads import Threads
from builder.model.lock import Package
from builder.store import Store

# A recipe that gains a package shall not pay for the others again, and the tree must still be the
# one that a build from nothing gives. That holds for packages that only bring files, and for those
# whose scripts are made of debhelper's snippets, each of which does something for its own package
# alone. They are `plain`, and every build installs them last, after all packages with scripts of
# their own: so those never see whether a plain one is there, and of the plain ones none sees
# another. What a package with scripts depends on is not plain, since its scripts may use it.
#
# File triggers run for the packages that were there before, which do the same whether they hear
# of two packages at once or one after the other: ldconfig's cache is made of what is there.

SNIPPETS = frozenset(
    (
        "dh_apparmor",
        "dh_installdeb",  # dpkg-maintscript-helper: acts when an older version was there
        "dh_installsystemd",  # links for its own units, and a state file for each
        "dh_installsystemduser",
        "dh_makeshlibs",
        "dh_python3",  # compiles its own modules; Python itself has scripts, so it came before
    )
)
"""The debhelper commands whose snippets touch nothing that another package has."""

_SECTION = re.compile(
    r"^# Automatically added by (\w+)\S*\n.*?^# End automatically added section\n?",
    re.MULTILINE | re.DOTALL,
)
_EMPTY = re.compile(r"\s*(#.*|set -eu?|exit 0|:|true)?\s*")

ALWAYS_THERE = frozenset(("dpkg", "init-system-helpers", "libc6"))
"""What may be asked for by Pre-Depends: these are configured in every base tree."""


def batches(
    packages: tuple[Package, ...], store: Store
) -> tuple[tuple[Package, ...], tuple[Package, ...]]:
    """Part the packages of a layer into those with scripts of their own and the plain ones."""
    if len({one.name for one in packages}) < len(packages):
        return packages, ()  # of two architectures: dpkg must see both together
    controls = read_controls(packages, store)
    first = _first(controls)
    return (
        tuple(package for package in packages if package.name in first),
        tuple(package for package in packages if package.name not in first),
    )


def all_plain(packages: tuple[Package, ...], store: Store) -> bool:
    """Tell whether none of the packages has scripts of its own."""
    return all(is_plain(control) for control in read_controls(packages, store).values())


def read_controls(packages: tuple[Package, ...], store: Store) -> dict[str, Control]:
    """Read the control files of packages, by name."""
    with Threads() as pool:
        controls = pool.map(lambda one: read_control(blob_of(one, store), one), packages)
        return {one.name: control for one, control in zip(packages, controls, strict=True)}


def is_plain(control: Control) -> bool:
    """Tell whether a package, alone, does nothing that another one could notice."""
    interested = any(directive.startswith("interest") for directive, _ in control.triggers())
    asks = "config" in control.files
    scripts = (control.files.get(name, "") for name in ("preinst", "postinst"))
    before = control.names("pre-depends") - ALWAYS_THERE
    return not interested and not asks and not before and all(map(_is_generated, scripts))


def _is_generated(script: str) -> bool:
    """Tell whether a script is made of nothing but known snippets."""
    if any(match[1] not in SNIPPETS for match in _SECTION.finditer(script)):
        return False
    return all(_EMPTY.fullmatch(line) for line in _SECTION.sub("", script).splitlines())


def _first(controls: Mapping[str, Control]) -> set[str]:
    """Name the packages that are not plain and all that they depend on."""
    providers: dict[str, set[str]] = {}
    for name, control in controls.items():
        for provided in {name, *control.names("provides")}:
            providers.setdefault(provided, set()).add(name)
    waiting = [name for name, control in controls.items() if not is_plain(control)]
    for name, control in controls.items():
        # It may have a file of another one, and dpkg must see both together.
        if others := control.names("replaces") & controls.keys() - {name}:
            waiting += [name, *others]
    first: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in first:
            first.add(name)
            wanted = controls[name].names("pre-depends", "depends")
            waiting.extend(one for want in wanted for one in providers.get(want, ()))
    return first
