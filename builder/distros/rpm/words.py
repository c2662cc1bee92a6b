"""Words: how dnf is told of a package, and what of that there is no way to say."""

from collections.abc import Collection
from fnmatch import fnmatchcase

from builder.distros import AskedPackageError
from builder.distros.rpm.metadata import RpmEntry
from builder.model.lock import AskedLayer


def is_meant(entry: RpmEntry, word: str) -> bool:
    """Tell whether a word names a package, in any of the forms that dnf takes (dnf(8))."""
    version = entry.version.partition(":")[2] or entry.version
    bare = version.rpartition("-")[0]
    names = (entry.name, f"{entry.name}-{bare}", f"{entry.name}-{version}")
    return any(
        fnmatchcase(f"{name}{end}", word) for name in names for end in ("", f".{entry.arch}")
    )


def check_words(layer: AskedLayer, below: Collection[str]) -> None:
    """Raise AskedPackageError for what only apt can be told, and for what cannot go again."""
    for text, word in zip(layer.install, layer.words(), strict=True):
        if word.version or word.target or word.arch or word.task:
            raise AskedPackageError(
                f"`{text}` is how apt names packages, not dnf",
                (text,),
                hint=f"for dnf: `{word.name}`, `{word.name}-VERSION` or `{word.name}.ARCH`,"
                " with `*` for anything",
            )
    for name in layer.removals:
        if name in below:
            raise AskedPackageError(
                f"`{name}` is of a layer below, and packages of RPM stay where they are",
                (name,),
                hint="leave it out there",
            )
