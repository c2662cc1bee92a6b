"""Elsewhere: components that a recipe does without, and which of them has a package."""

import re
from collections.abc import Callable
from dataclasses import replace

from builder.distros.debian.archive.fetched import Part
from builder.distros.debian.archive.indexes import Index
from builder.distros.debian.archive.pockets import release_field
from builder.host.programs import on_host

_COMPONENT = re.compile(r"_([^_]+)_binary-[^_]+_Packages\Z")


def component_of(
    name: str, base: Part, part: Callable[[tuple[str, ...]], Part], fresh: set[str]
) -> str | None:
    """Name the component of a distribution's suite that has a package, but is not asked for.

    `part` gives the suite with other components.
    """
    with base.held():
        release = base.pockets()[0].in_release.read_bytes()
    listed = [one.rpartition("/")[2] for one in release_field(release, "Components").split()]
    others = tuple(one for one in listed if one not in base.origin.components)
    if not others:
        return None
    more = part(others)
    with more.held():
        more.refresh(fresh, on_host)
        for pocket in more.pockets():
            for path in pocket.packages:
                found = _COMPONENT.search(path.name)
                if found and Index([replace(pocket, packages=(path,))]).has(name):
                    return found[1]
    return None
