"""Package words: what a recipe says of one package, such as `nginx=1.22*` or `libc6:i386`."""

import re

import msgspec

_GROUP = "@"
_WORD = re.compile(
    r"(?P<name>[^:=/^]+)(?::(?P<arch>[^=/^]+))?(?:=(?P<version>.+)|/(?P<target>.+)|(?P<task>\^))?"
)


class PackageWord(msgspec.Struct, frozen=True):
    """A word of `packages.install`, as apt's users write it."""

    name: str
    arch: str = ""
    """The architecture, if it need not be the template's own."""
    version: str = ""
    """The version; `*` in it stands for anything."""
    target: str = ""
    """The part of the archive that it comes from."""
    task: bool = False
    """Whether all packages of a task are meant."""
    group: bool = False
    """Whether it is one of dnf's groups; the `@` is a part of its name then."""

    @property
    def known_as(self) -> str:
        """Give the name as apt writes it, with an architecture that is said."""
        return f"{self.name}:{self.arch}" if self.arch else self.name


def read_word(text: str) -> PackageWord:
    """Take a word apart; one that is nothing but a name is that."""
    if text.startswith(_GROUP):
        return PackageWord(text, group=True)
    found = _WORD.fullmatch(text)
    if found is None:
        return PackageWord(text)
    return PackageWord(
        found["name"],
        found["arch"] or "",
        found["version"] or "",
        found["target"] or "",
        task=found["task"] is not None,
    )
