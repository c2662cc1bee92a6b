"""What dnf can be told of one package besides its name, and what only apt can."""

import msgspec
import pytest

from builder.distros import ArchiveSources, AskedPackageError, distro
from builder.host.programs import on_host
from builder.model.lock import Asked, AskedLayer
from tests.integration.distros.rpm.test_resolve import archive, asked, mirror, sources
from tests.support.needs import needs

pytestmark = needs(
    "program:dnf", "program:rpmbuild", "program:rpmsign", "program:createrepo_c", "program:gpg"
)

__all__ = ["archive", "mirror", "sources"]


def layered(**above: object) -> Asked:
    plain = asked("libweb")
    layer = msgspec.convert({"recipe": "above", **above}, AskedLayer)
    return msgspec.structs.replace(plain, layers=(plain.layers[0], layer))


@pytest.mark.parametrize("word", ["libweb-3.0", "libweb-3*", "libweb.x86_64", "libweb-3.0-1"])
def test_versions_and_architectures(sources: ArchiveSources, word: str) -> None:
    lock = distro("rockylinux").resolve(asked(word), sources, on_host)
    (mine,) = [one for one in lock.packages if one.layer != "base"]
    assert (mine.name, mine.version, mine.requested) == ("libweb", "3.0-1", True)


def test_what_is_not_wanted_does_not_come(sources: ArchiveSources) -> None:
    wanted = layered(install=("web",), recommends=True, remove=("agent-extras",))
    lock = distro("rockylinux").resolve(wanted, sources, on_host)
    names = {one.name for one in lock.packages if one.layer == "above"}
    assert names == {"web", "web-docs", "agent"}


@pytest.mark.parametrize(
    ("above", "word", "problem"),
    [
        ({"install": ("web=2:1*",)}, "web=2:1*", "is how apt names packages"),
        ({"install": ("web:i386",)}, "web:i386", "is how apt names packages"),
        ({"install": ("web/updates",)}, "web/updates", "is how apt names packages"),
        ({"remove": ("libweb",)}, "libweb", "is of a layer below"),
    ],
)
def test_what_cannot_be_said(
    sources: ArchiveSources, above: dict[str, object], word: str, problem: str
) -> None:
    with pytest.raises(AskedPackageError, match=problem) as caught:
        distro("rockylinux").resolve(layered(**above), sources, on_host)
    assert caught.value.words == (word,)
