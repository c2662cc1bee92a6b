"""A small lock."""

import msgspec

from builder.model.lock import Asked, AskedLayer, Lock, Package, Release
from builder.model.recipe import Arch
from builder.model.value import digest_of

ASKED = Asked(
    distro="debian",
    suite="bookworm",
    arch=Arch.AMD64,
    components=("main",),
    layers=(AskedLayer(recipe="debian-bookworm", install=("systemd-sysv",)),),
)


def lock(asked: Asked = ASKED, version: str = "1.0") -> Lock:
    package = Package(
        name="bash",
        version=version,
        arch="amd64",
        size=7,
        sha256="0" * 64,
        archive="debian",
        path=f"pool/main/b/bash/bash_{version}_amd64.deb",
        layer="base",
        requested=True,
    )
    release = Release(
        archive="debian",
        suite="bookworm",
        sha256="1" * 64,
        date="Sat, 01 Jun 2024 12:00:00 UTC",
        signed_by=("A" * 40,),
    )
    other = msgspec.structs.replace(package, name="zsh")
    return Lock(
        recipe=digest_of(asked),
        asked=asked,
        epoch=1,
        releases=(release,),
        packages=(package, other),
    )
