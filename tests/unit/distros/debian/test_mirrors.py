"""Mirrors: settings before apt's sources before debootstrap's default."""

import re
from functools import partial
from pathlib import Path

import pytest

from builder.distros.debian.archive.mirrors import default_mirrors, find_mirrors, of_apt
from builder.distros.debian.archive.sources import apt_sources
from builder.distros.debian.family import DEBIAN, Family
from builder.distros.devuan import Devuan
from builder.distros.ubuntu import Ubuntu
from builder.model.errors import HostError
from builder.model.lock import Asked
from builder.model.recipe import Arch
from tests.support.needs import needs

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

DEB822 = f"""\
# A comment
Types: deb deb-src
URIs: http://127.0.0.1/debian/ http://127.0.0.2/debian
# another, in the middle
Suites: trixie trixie-updates
Components: main non-free-firmware
Signed-By: {KEYRING}

Types: deb
URIs: http://127.0.0.1/security
Suites: trixie-security
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: http://127.0.0.3/debian
Suites: trixie
Components: main
Enabled: no
"""

ONE_LINE = f"""\
# deb http://127.0.0.9/debian bookworm main
deb [arch=amd64 signed-by={KEYRING}] http://127.0.0.1/debian bookworm main contrib # mine
deb-src http://127.0.0.4/debian bookworm main
deb http://127.0.0.1/debian bookworm-updates main
deb http://127.0.0.5/debian-security/ bookworm-security main
"""

OTHERS = """\
deb https://127.0.0.6/linux/debian bookworm stable
deb https://127.0.0.6/php bookworm main
deb https://127.0.0.6/apt bookworm-pgdg main
deb https://127.0.0.6/debian nodistro main
deb [signed-by=/usr/share/keyrings/vendor.gpg] https://127.0.0.6/debian bookworm main
deb http://127.0.0.6/ubuntu noble main
deb file:/srv/debian bookworm main
deb cdrom:[Debian_12]/debian bookworm main
nonsense
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    return tmp_path / "apt"


def default(folder: Path) -> Path:
    script = folder / "debootstrap"
    script.write_text('#!/bin/sh\nDEF_MIRROR="http://127.0.0.8/debian"\nDEF_HTTPS_MIRROR="x"\n')
    return script


def test_deb822(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    assert of_apt(apt) == {
        "debian": ("http://127.0.0.1/debian", "http://127.0.0.2/debian"),
        "debian-security": ("http://127.0.0.1/security",),
    }


def test_one_line_style(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    assert of_apt(apt) == {
        "debian": ("http://127.0.0.1/debian",),
        "debian-security": ("http://127.0.0.5/debian-security",),
    }


def test_other_vendors_are_left_out(apt: Path) -> None:
    (apt / "sources.list.d/others.list").write_text(OTHERS)
    (apt / "sources.list.d/broken.sources").write_text("Types deb\n\n: \n\x00")
    assert of_apt(apt) == {}


def test_settings_come_first(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    found = find_mirrors({"debian": ("http://127.0.0.7/a/", "http://127.0.0.7/b")}, apt=apt)
    assert found == {
        "debian": ("http://127.0.0.7/a", "http://127.0.0.7/b"),
        "debian-security": ("http://127.0.0.5/debian-security",),
    }


def test_default_is_debootstraps(apt: Path, tmp_path: Path) -> None:
    assert find_mirrors({}, apt=apt, debootstrap=default(tmp_path)) == {
        "debian": ("http://127.0.0.8/debian",),
        "debian-security": ("http://127.0.0.8/debian-security",),
    }


def test_no_mirror_at_all(apt: Path, tmp_path: Path) -> None:
    empty = tmp_path / "debootstrap"
    empty.write_text("#!/bin/sh\n")
    with pytest.raises(HostError, match="no mirror of `debian` is known") as caught:
        find_mirrors({}, apt=apt, debootstrap=empty)
    assert caught.value.hint


def test_pockets() -> None:
    assert DEBIAN.pockets("bookworm", "amd64") == (
        ("debian", "bookworm"),
        ("debian", "bookworm-updates"),
        ("debian-security", "bookworm-security"),
    )
    assert DEBIAN.pockets("sid", "amd64") == (("debian", "sid"),)
    assert Ubuntu.family.pockets("noble", "amd64") == (
        ("ubuntu", "noble"),
        ("ubuntu", "noble-updates"),
        ("ubuntu", "noble-security"),
    )
    assert Ubuntu.family.pockets("noble", "arm64")[2] == ("ubuntu-ports", "noble-security")
    assert Devuan.family.pockets("daedalus", "arm64")[1] == ("devuan", "daedalus-updates")
    assert Devuan.family.pockets("ceres", "amd64") == (("devuan", "ceres"),)


def asked(suite: str, arch: Arch = Arch.AMD64) -> Asked:
    return Asked(distro="", suite=suite, arch=arch, components=("main", "extra"), layers=())


@needs("program:debootstrap")
def test_a_template_is_told_of_every_pocket_at_the_default_mirror() -> None:
    url = default_mirrors()["debian"]
    assert apt_sources(DEBIAN, asked("bookworm")) == {
        "etc/apt/sources.list.d/debian.sources": f"""\
Types: deb
URIs: {url}
Suites: bookworm bookworm-updates
Components: main extra
Signed-By: {KEYRING}

Types: deb
URIs: {url}-security
Suites: bookworm-security
Components: main extra
Signed-By: {KEYRING}
"""
    }
    (text,) = apt_sources(DEBIAN, asked("sid")).values()
    assert "security" not in text


@needs("program:debootstrap")
def test_each_architecture_is_told_of_its_own_archive() -> None:
    url = default_mirrors(Ubuntu.family, "arm64")["ubuntu-ports"]
    assert re.fullmatch(r"http://ports\.[a-z.]+/ubuntu-ports", url)
    assert re.fullmatch(r"http://archive\.[a-z.]+/ubuntu", default_mirrors(Ubuntu.family)["ubuntu"])
    assert apt_sources(Ubuntu.family, asked("noble", Arch.ARM64)) == {
        "etc/apt/sources.list.d/ubuntu.sources": f"""\
Types: deb
URIs: {url}
Suites: noble noble-updates noble-security
Components: main extra
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
"""
    }


KIN = """\
deb http://127.0.0.1/ubuntu noble main universe
deb http://127.0.0.2/ubuntu noble-security main
deb http://127.0.0.3/ubuntu-ports/ noble main
deb [signed-by=/usr/share/keyrings/devuan-archive-keyring.gpg] http://127.0.0.4/merged daedalus main
deb http://127.0.0.5/merged noble main
"""


@pytest.mark.parametrize(
    ("family", "found"),
    [
        (DEBIAN, {}),
        (
            Ubuntu.family,
            {
                "ubuntu": ("http://127.0.0.1/ubuntu",),
                "ubuntu-ports": ("http://127.0.0.3/ubuntu-ports",),
            },
        ),
        (Devuan.family, {"devuan": ("http://127.0.0.4/merged",)}),
    ],
)
def test_each_of_the_kin_knows_its_own(
    apt: Path, family: Family, found: dict[str, tuple[str, ...]]
) -> None:
    (apt / "sources.list").write_text(KIN)
    assert of_apt(apt, family) == found


def test_an_architecture_decides_on_the_archive(apt: Path) -> None:
    settings = {"ubuntu": ("http://127.0.0.7/u",), "ubuntu-ports": ("http://127.0.0.7/p",)}
    find = partial(find_mirrors, settings, Ubuntu.family, apt=apt)
    assert find("amd64") == {"ubuntu": ("http://127.0.0.7/u",)}
    assert find("arm64") == {"ubuntu-ports": ("http://127.0.0.7/p",)}
