"""Refusals: why apt cannot do what a layer asks, in the words of the recipe."""

import re
from collections.abc import Iterable, Sequence

from builder.distros import AskedPackageError
from builder.distros.debian.archive.wishes import Wishes
from builder.host.programs import Done

NOISE = re.compile(
    r"^(Reading|Building|Solving|Correcting|NOTE:|Note,|Some packages could not be|"
    r"requested an impossible|distribution that some|or been moved|"
    r"The following information may help|E: Unable to correct|\s*$)"
)
_UNMET = re.compile(
    r"^ (\S+) : (Pre-Depends|PreDepends|Depends|Conflicts|Breaks): (\S+)", re.MULTILINE
)
_AGAINST = {"Conflicts", "Breaks"}


def unsatisfiable(wish: Wishes, done: Done) -> AskedPackageError:
    """Hand on apt's explanation without what is always there."""
    unmet = _UNMET.findall(done.output)
    for one, how, other in unmet:
        if how in _AGAINST and {_plain(one), _plain(other)} <= _asked(wish):
            words = _words(wish, (one, other))
            return AskedPackageError(
                f"{_list(words)} cannot be installed beside each other:"
                f" `{one}` says `{how}: {other}`",
                words[::-1],
                hint="take one of them out",
            )
    words = _words(wish, (one for one, _, _ in unmet))
    lines = [line.rstrip() for line in done.output.splitlines() if not NOISE.match(line)]
    told = "\n".join(f"  {line.removeprefix('E: ').strip()}" for line in lines)
    listed = words or tuple(wish.words.values()) or wish.unwanted
    return AskedPackageError(f"cannot install {_list(listed)}:\n{told}", listed)


def beside(wish: Wishes, more: Sequence[str]) -> AskedPackageError:
    """Refuse what would take away packages that nobody has spoken of."""
    which = f"{_list(more)}, which the layer below has"
    asked = tuple(wish.words.values())
    if wish.unwanted:
        return AskedPackageError(
            f"without {_list(wish.unwanted)} there cannot be {which}",
            wish.unwanted,
            hint=f"to take them away as well: {_remove((*wish.unwanted, *more))}",
        )
    return AskedPackageError(
        f"{_list(asked)} cannot be installed beside {which}",
        asked,
        hint=f"take one of them out of the recipe, or away: {_remove(more)}",
    )


def _remove(names: Iterable[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f"`remove = [{listed}]` in `[packages]`"


def _asked(wish: Wishes) -> set[str]:
    return set(map(_plain, wish.names))


def _words(wish: Wishes, names: Iterable[str]) -> tuple[str, ...]:
    """Give the words that ask for some of the packages that apt names."""
    by_name = {_plain(name): word for name, word in wish.words.items()} | dict(wish.words)
    found = (by_name[name] for name in names if name in by_name)
    return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    return name.partition(":")[0]


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
