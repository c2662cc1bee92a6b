"""Devuan: what differs from Debian."""

from pathlib import Path

from builder.distros.debian.distribution import Debian
from builder.distros.debian.family import ArchiveRow, Family


class Devuan(Debian):
    """Devuan: its own packages and, under the same roof, Debian's without systemd."""

    family = Family(
        name="devuan",
        title="Devuan",
        aliases=("oldoldstable", "oldstable", "stable", "testing", "unstable"),
        moving=frozenset({"ceres"}),
        archives=(
            ArchiveRow(
                "devuan",
                ("{}", "{}-updates", "{}-security"),
                ("merged",),
                home="http://deb.devuan.org/merged",
                further=("{}-backports", "{}-proposed-updates"),
            ),
        ),
        keyring=Path("/usr/share/keyrings/devuan-archive-keyring.gpg"),
        keyring_package="devuan-keyring",
    )
