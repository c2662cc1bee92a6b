"""The forms that a template can be given to others in, as a plain table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from builder.formats import tarball
from builder.formats.frames import WrittenFile
from builder.formats.tarball import Press
from builder.model.manifest import Manifest
from builder.store.manifest import TreeManifest


class Format(Protocol):
    """A way to write a tree with its manifest to one file; equal inputs give equal bytes."""

    @property
    def suffix(self) -> str:
        """How the names of such files end."""

    def write(
        self, tree: Path, held: TreeManifest, manifest: Manifest, out: Path, press: Press
    ) -> WrittenFile:
        """Write the file; what is in `press`, but for the level, changes only how long it takes."""


FORMATS: Mapping[str, Format] = {"tar.zst": tarball}
"""Format by the name that `--format` takes."""
