"""The forms that a template can be given to others in, as a plain table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from builder.formats import tarball
from builder.formats.frames import Written
from builder.model.manifest import Manifest


class Format(Protocol):
    """A way to write a tree with its manifest to one file; equal inputs give equal bytes."""

    @property
    def suffix(self) -> str:
        """How the names of such files end."""

    def pack(self, tree: Path, manifest: Manifest, out: Path, *, level: int, jobs: int) -> Written:
        """Write the file; `jobs` changes how long it takes and nothing else."""


FORMATS: Mapping[str, Format] = {"tar.zst": tarball}
"""Format by the name that `--format` takes."""
