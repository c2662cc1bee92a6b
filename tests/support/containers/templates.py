"""Templates for the containers of a rig, laid where an import lays them."""

from pathlib import Path

import msgspec

from builder.model.interface import Interface
from builder.model.value import Digest, canonical, hex_of
from tests.support.containers.rig import DIGEST, Rig
from tests.support.trees.odd_trees import manifest


def describe(
    rig: Rig, digest: Digest = DIGEST, name: str = "tiny", interface: Interface | None = None
) -> None:
    """Write the manifest of a template, which those that only start containers do without."""
    path = rig.places.data / "templates" / hex_of(digest) / "manifest.json"
    whole = msgspec.structs.replace(manifest(name), interface=interface or Interface())
    path.write_bytes(canonical(whole))


def add(rig: Rig, digest: Digest, rootfs: Path, name: str = "tiny") -> None:
    """Add a template beside the rig's own."""
    folder = rig.places.data / "templates" / hex_of(digest)
    folder.mkdir()
    (folder / "rootfs").symlink_to(rootfs)
    describe(rig, digest, name)
