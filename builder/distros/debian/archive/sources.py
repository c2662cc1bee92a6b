"""What a template's own apt is told: where its packages come from, once it is a container."""

from urllib.parse import urlsplit

from builder.distros import TemplateRepository
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


def pocket_sources(family: Family, asked: Asked, pockets: dict[str, str]) -> dict[str, bytes]:
    """Write pockets of a suite, each with its archive, so that what is of them gets updates."""
    urls = default_mirrors(family, asked.arch)
    return {
        f"etc/apt/sources.list.d/{pocket}.sources": (
            f"Types: deb\nURIs: {urls[archive]}\nSuites: {pocket}\n"
            f"Components: {' '.join(asked.components)}\nSigned-By: {family.keyring}\n"
        ).encode()
        for pocket, archive in pockets.items()
    }


def added_sources(added: TemplateRepository) -> dict[str, bytes]:
    """Write a repository as a source with its key, and with a pin if it has a priority."""
    one = added.repository
    key = f"etc/apt/keyrings/{one.name}.gpg"
    lines = ["Types: deb", f"URIs: {one.url}", f"Suites: {' '.join(one.suites)}"]
    if one.components:
        lines.append(f"Components: {' '.join(one.components)}")
    if one.architectures:
        lines.append(f"Architectures: {' '.join(one.architectures)}")
    text = "\n".join((*lines, f"Signed-By: /{key}", ""))
    files = {f"etc/apt/sources.list.d/{one.name}.sources": text.encode(), key: added.keys}
    if one.priority is not None:
        host = urlsplit(one.url).hostname
        pins = [f"release {names}" if names else f'origin "{host}"' for names in added.known_as]
        files[f"etc/apt/preferences.d/{one.name}"] = "\n".join(
            f"Package: *\nPin: {pin}\nPin-Priority: {one.priority}\n" for pin in dict.fromkeys(pins)
        ).encode()
    return files
