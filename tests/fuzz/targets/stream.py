"""Tar streams from standard input that `oven cp - NAME:` unpacks in a container."""

import os

from builder.formats.tar import pour
from builder.host.trees.copying import CopyManner
from builder.host.trees.treeio import TreeIO
from tests.fuzz.scratch import scratch
from tests.fuzz.targets import tarball
from tests.fuzz.tars import summed

REFUSALS = (OSError,)
"""`oven cp` makes one error of all that a disk refuses."""

seeds = tarball.seeds


def play(data: bytes) -> None:
    """Pour a stream into an empty folder."""
    with scratch() as folder:
        source, tree = folder / "source", folder / "tree"
        source.write_bytes(summed(data) if data[257:262] == b"ustar" else data)
        tree.mkdir()
        fd = os.open(source, os.O_RDONLY)
        manner = CopyManner(lambda *_: (0, 0), lambda *_: None, lambda _: None)
        try:
            with TreeIO(tree) as opened:
                pour.read(fd, opened, "/", manner)
        finally:
            manner.close()
            os.close(fd)
