"""What a template's own apt is told: where its packages come from, once it is a container."""

from builder.distros.debian.archive.mirrors import default_mirrors
from builder.distros.debian.family import Family
from builder.model.lock import Asked


def apt_sources(family: Family, asked: Asked) -> dict[str, str]:
    """Write a suite with all its pockets as a file of sources.list(5) in the deb822 style."""
    paragraphs = []
    for archive, url in default_mirrors(family, asked.arch).items():
        pockets = family.pockets(asked.suite, asked.arch)
        suites = [folder for name, folder in pockets if name == archive]
        if suites:
            paragraphs.append(
                "Types: deb\n"
                f"URIs: {url}\n"
                f"Suites: {' '.join(suites)}\n"
                f"Components: {' '.join(asked.components)}\n"
                f"Signed-By: {family.keyring}\n"
            )
    return {family.sources: "\n".join(paragraphs)}
