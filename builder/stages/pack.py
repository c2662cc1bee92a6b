"""Pack: a tree and its manifest, made into one file that others can fetch."""

from pathlib import Path
from typing import TYPE_CHECKING

from builder.formats.level import LEVEL, compressor_version
from builder.model.errors import StageError
from builder.model.manifest import Manifest
from builder.model.value import Digest, Value
from builder.stages.stage import Stage
from builder.stages.tools import Tools
from builder.store import DamagedError, Store

if TYPE_CHECKING:
    from builder.formats.frames import WrittenFile


class Packing(Value, frozen=True, kw_only=True):
    """All that decides the bytes of the file; the epoch is the manifest's."""

    tree: Digest
    manifest: Manifest
    format: str = "tar.zst"
    level: int = LEVEL
    compressor: str
    """Another version of the library may compress the same data to other bytes."""


class Packed(Value, frozen=True, kw_only=True):
    """A packed template, in the store."""

    sha256: str
    """Of the file, which is the blob of this name."""
    size: int
    uncompressed: int
    tree: Digest
    """What is in it, but for the manifest."""


def pack_inputs(tree: Digest, manifest: Manifest, *, level: int = LEVEL) -> Packing:
    """Gather what decides the bytes; the compressor is this machine's."""
    return Packing(tree=tree, manifest=manifest, level=level, compressor=compressor_version())


def pack(inputs: Packing, tools: Tools) -> Packed:
    """Write the file and keep it."""
    from builder.formats.content import ChangedError  # a build that changes nothing has no use
    from builder.store.verify import removed

    tree = tools.store.tree(inputs.tree)
    if tree is None:
        raise StageError("the tree to pack is not in the store", hint="build it again")
    try:
        written = _write(tree, inputs, tools)
    except (ChangedError, DamagedError) as error:
        raise removed(tools.store, error.problem) from error
    return Packed(
        sha256=written.sha256,
        size=written.size,
        uncompressed=written.uncompressed,
        tree=inputs.tree,
    )


def _write(tree: Path, inputs: Packing, tools: Tools) -> "WrittenFile":
    from builder.formats.table import FORMATS
    from builder.formats.tarball import Press
    from builder.host.trees.durable import disk_errors
    from builder.store.frames import Frames

    held = tools.store.tree_manifest(inputs.tree)
    with (
        disk_errors(tools.store.root),
        tools.store.draft() as draft,
        Frames(tools.store, tools.report.say) as kept,
    ):
        file = draft / "packed"
        press = Press(level=inputs.level, jobs=tools.jobs, kept=kept)
        written = FORMATS[inputs.format].write(tree, held, inputs.manifest, file, press)
        tools.store.keep_blob(file, written.sha256)
        kept.keep(written.groups)
    return written


def packed_held(result: Packed, store: Store) -> bool:
    """Tell whether the file is still in the store."""
    return store.blob(result.sha256) is not None


PACK = Stage("pack", 3, pack, Packed, packed_held, lambda it: f"{it.size / 1e6:.1f} MB")
