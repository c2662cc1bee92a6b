"""Mirrors: settings before apt's sources before debootstrap's default."""

from pathlib import Path

import pytest

from builder.distros.debian.mirrors import default_mirrors, find_mirrors, of_apt, pockets
from builder.distros.debian.sources import apt_sources
from builder.model.errors import HostError

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
    with pytest.raises(HostError, match="no mirror of Debian is known") as caught:
        find_mirrors({}, apt=apt, debootstrap=empty)
    assert caught.value.hint


def test_pockets() -> None:
    assert pockets("bookworm") == (
        ("debian", "bookworm"),
        ("debian", "bookworm-updates"),
        ("debian-security", "bookworm-security"),
    )
    assert pockets("sid") == (("debian", "sid"),)


def test_a_template_is_told_of_every_pocket_at_the_default_mirror(tmp_path: Path) -> None:
    script = tmp_path / "debootstrap"
    script.write_text('DEF_MIRROR="http://127.0.0.9/debian"\n')
    assert (
        apt_sources("bookworm", ("main", "contrib"), default_mirrors(script))
        == f"""\
Types: deb
URIs: http://127.0.0.9/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: {KEYRING}

Types: deb
URIs: http://127.0.0.9/debian-security
Suites: bookworm-security
Components: main contrib
Signed-By: {KEYRING}
"""
    )
    assert "security" not in apt_sources("sid", ("main",), default_mirrors(script))
