"""What a template's own apt is told: where its packages come from, once it is a container."""

from collections.abc import Mapping

from builder.distros.debian.mirrors import MAIN, SECURITY, pockets

PATH = "etc/apt/sources.list.d/debian.sources"

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def apt_sources(suite: str, components: tuple[str, ...], mirrors: Mapping[str, str]) -> str:
    """Write a suite with all its pockets as sources.list(5) in the deb822 style."""
    paragraphs = []
    for archive in (MAIN, SECURITY):
        suites = [folder for name, folder in pockets(suite) if name == archive]
        if suites:
            paragraphs.append(
                "Types: deb\n"
                f"URIs: {mirrors[archive]}\n"
                f"Suites: {' '.join(suites)}\n"
                f"Components: {' '.join(components)}\n"
                f"Signed-By: {_KEYRING}\n"
            )
    return "\n".join(paragraphs)
