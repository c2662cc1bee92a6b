"""Release and Packages files of an archive, whose signer is trusted with packages alone."""

import contextlib

from builder.distros.debian.archive.indexes import Index
from builder.distros.debian.archive.pockets import Pocket, epoch_of, release_field
from builder.model.errors import OvenError
from builder.model.lock import Release
from tests.fuzz.scratch import scratch

_RELEASE = (
    b"Origin: Debian\nSuite: stable\nCodename: bookworm\nDate: Sat, 01 Jun 2024 12:00:00 UTC\n"
)
_PACKAGES = b"""Package: web
Version: 1.0
Architecture: all
Essential: yes
Priority: required
Depends: libweb (>= 1), mail-agent | cron
Recommends: docs
Provides: httpd (= 1), www
Filename: ./pool/w/web_1.0_all.deb
Size: 123
SHA256: 0000000000000000000000000000000000000000000000000000000000000000

Package: libweb
Version: 2
Architecture: amd64
Filename: pool/l.deb
Size: 1
SHA256: 00

"""


def seeds() -> list[bytes]:
    """Give one of each kind."""
    return [_RELEASE, _PACKAGES, b"\n" + _PACKAGES + _PACKAGES]


def play(data: bytes) -> None:
    """Take the data for both."""
    date = release_field(data, "Date")
    release = Release(archive="x", suite="x", sha256="0" * 64, date=date, signed_by=())
    with contextlib.suppress(OvenError):
        epoch_of([release])
    with scratch() as folder:
        path = folder / "x_Packages"
        path.write_bytes(data)
        pockets = [Pocket("debian", "x", path, (path,))]
        Index(pockets, notes=folder / "notes")
        index = Index(pockets, notes=folder / "notes")  # by the notes of the first time
        index.reachable(["web"], recommends=True)
        for name in (*index.seeds(), *index.names()):
            for version in ("1.0", "2"):
                with contextlib.suppress(OvenError):
                    index.package(name, version, "base", requested=True)
