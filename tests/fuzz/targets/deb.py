"""Package files of Debian's, with control data that nobody has looked at."""

import gzip
import tarfile

from builder.distros.debian.package import deb
from builder.distros.debian.package.control import Control, check_identity, read_control
from builder.model.lock import Package
from tests.fuzz.scratch import scratch
from tests.fuzz.tars import summed
from tests.support.packages.hostile_debs import control, member, tar, write_parts

REFUSALS = (deb.DebError,)

_PACKAGE = Package(
    name="x", version="1.0", arch="all", size=1, sha256="0" * 64, archive="debian", path="x",
    layer="base",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Give the control files of a package, alone and in a package file."""
    controls = tar(
        [
            member("./", tarfile.DIRTYPE),
            member("./control", data=control("x")),
            member("./triggers", data=b"interest-noawait x\n"),
            member("./postinst", data=b"#!/bin/sh\n"),
            member("./" + "n" * 150, data=b""),
        ]
    )
    with scratch() as folder:
        parts = {"control.tar": controls, "data.tar": controls}
        plain = write_parts(folder / "plain", parts).read_bytes()
        pressed = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in parts.items()}
        return [controls, plain, write_parts(folder / "gz", pressed).read_bytes()]


def play(data: bytes) -> None:
    """Read a package file, or one that is made around the data."""
    with scratch() as folder:
        path = folder / "x.deb"
        if data.startswith(b"!<arch>\n"):
            path.write_bytes(data)
        else:
            write_parts(path, {"control.tar": summed(data), "data.tar": summed(data)})
        for _ in deb.data_tar(path):
            pass
        files = {one.name: one.data.decode(errors="replace") for one in deb.control_files(path)}
        said = Control(files)
        said.names("depends", "provides")
        said.triggers()
        check_identity(_PACKAGE, files["control"])
        read_control(path, _PACKAGE)
