"""Ubuntu: what differs from Debian."""

from pathlib import Path

from builder.distros.debian.distribution import Debian
from builder.distros.debian.family import ArchiveRow, Family

_POCKETS = ("{}", "{}-updates", "{}-security")
_FURTHER = ("{}-backports", "{}-proposed")
_OWN = ("amd64", "i386")


class Ubuntu(Debian):
    """Ubuntu; other architectures than the PC's are in an archive of their own, the ports."""

    family = Family(
        name="ubuntu",
        title="Ubuntu",
        archives=(
            ArchiveRow(
                "ubuntu",
                _POCKETS,
                ("ubuntu",),
                script="gutsy",
                arches=_OWN,
                further=_FURTHER,
            ),
            ArchiveRow(
                "ubuntu-ports",
                _POCKETS,
                ("ubuntu-ports",),
                script="gutsy",
                arches=("arm64", "armhf", "ppc64el", "riscv64", "s390x"),
                further=_FURTHER,
            ),
        ),
        keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
        keyring_package="ubuntu-archive-keyring",
    )
