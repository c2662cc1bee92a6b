"""dpkg's filters: which files of packages are never unpacked, and how that is said to dpkg."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from builder.model.extras import Extras

# The template's own dpkg keeps to the same rule, so that an upgrade brings nothing back. Copyright
# files stay (Debian Policy 12.5). Patterns that spare the folders directly below /usr/share/man:
# some packages make links there themselves, and fail without (Debian bug 863199).

FILE = "etc/dpkg/dpkg.cfg.d/oven-excludes"
"""In a tree: what its dpkg is told; Debian's and Ubuntu's small images have such a file."""

_DOCUMENTATION = (
    "-/usr/share/doc/*",
    "+/usr/share/doc/*/copyright",
    "-/usr/share/man/*/*",
    "-/usr/share/info/*",
    "-/usr/share/help/*",
    "-/usr/share/gnome/help/*",
    "-/usr/share/gtk-doc/*",
    "-/usr/share/omf/*",
)
_TRANSLATIONS = ("-/usr/share/locale/*", "+/usr/share/locale/locale.alias")
_OF_MANUALS = (
    "-/usr/share/man/*/*",
    "+/usr/share/man/man[1-9]*/*",
    "-/usr/share/help/*",
    "+/usr/share/help/C/*",
)
_PLACES = ("/usr/share/locale", "/usr/share/man", "/usr/share/help")


@dataclass(frozen=True, slots=True)
class Filter:
    """A pattern of fnmatch(3) in which `*` matches slashes too, and what becomes of its paths."""

    pattern: str
    keeps: bool

    @property
    def beginning(self) -> str:
        """What comes before the first wildcard."""
        return re.split(r"[*?\[\\]", self.pattern, maxsplit=1)[0].rstrip("/")


def filters(extras: Extras) -> tuple[Filter, ...]:
    """Give dpkg's filters, in order: the last one that matches decides."""
    lines: list[str] = []
    if extras.languages is not None:
        lines += _TRANSLATIONS
        lines += _OF_MANUALS if extras.documentation else ()
        for place in _PLACES if extras.documentation else _PLACES[:1]:
            for language in extras.languages:
                lines += (f"+{place}/{language}{end}/*" for end in ("", "[_.@]*"))
    lines += () if extras.documentation else _DOCUMENTATION
    return tuple(Filter(line[1:], line[0] == "+") for line in lines)


def configuration(chosen: Sequence[Filter]) -> str:
    """Write them as dpkg reads them (dpkg(1), `--path-exclude`)."""
    head = "# Written by Oven: what its recipe leaves out of packages.\n"
    rows = (f"path-{'include' if one.keeps else 'exclude'}={one.pattern}\n" for one in chosen)
    return head + "".join(rows)


def skips(chosen: Sequence[Filter], path: str, *, whole: bool) -> bool:
    """Tell whether dpkg would not unpack a path; `whole` ones are files, not folders or links.

    Folders, and links that may lead to some, stay where a filter may keep what is below
    (dpkg's src/main/filters.c).
    """
    decided = next((one for one in reversed(chosen) if _matches(one.pattern, path)), None)
    if decided is None or decided.keeps:
        return False
    return whole or not any(path.startswith(one.beginning) for one in chosen if one.keeps)


def _matches(pattern: str, path: str) -> bool:
    return _compiled(pattern).match(path) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
