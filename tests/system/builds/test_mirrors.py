"""Mirrors as the settings name them: one that has packages no more, one behind a proxy."""

from pathlib import Path

import pytest

from tests.support.builds.projects import project
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.support.packages.archive import Archive, Deb, Fault, Layout, dead_url, serve

pytestmark = needs("program:apt-ftparchive", "program:dpkg-deb", "program:gpg", "program:gpgv")

RECIPE = """\
[template]
name = "tiny"
summary = "nothing that boots"

[base]
distro = "devuan"
suite = "daedalus"
"""


def archive(root: Path, version: str) -> Archive:
    packages = (
        Deb("apt", "Essential: yes", version, suite="daedalus"),
        Deb("base", "Priority: required", suite="daedalus"),
    )
    return Archive.make(root, packages, Layout.merged("Devuan", "daedalus", "merged"))


@pytest.mark.parametrize("mirrors", [1, 2])
def test_it_is_named_and_the_next_mirror_asked(tmp_path: Path, mirrors: int) -> None:
    """Packages of no use follow a fetch that succeeds, so bootstrap is what fails then."""
    old, new = archive(tmp_path / "old", "1.0"), archive(tmp_path / "new", "2.0")
    keys = old.keyring.read_bytes() + new.keyring.read_bytes()
    (tmp_path / "keys.gpg").write_bytes(keys)
    recipe = project(tmp_path, RECIPE)
    settings = tmp_path / "config/oven/settings.toml"
    settings.parent.mkdir(parents=True)
    oven = Oven(tmp_path / "home").having(XDG_CONFIG_HOME=str(tmp_path / "config"))
    with serve(old.root) as stale, serve(new.root) as good:
        stale.faults["apt_1.0_all.deb"] = Fault(status=404)
        urls = [f"{one.url}/merged" for one in (stale, good)][:mirrors]
        settings.write_text(
            f'[archive.devuan]\nmirrors = {urls}\nkeyring = "{tmp_path}/keys.gpg"\n'
        )
        done = oven("build", recipe, "--no-probe", code=4 if mirrors == 1 else 6)
        said = text(done.stderr)
        assert "has apt 1.0" in said
        assert "the index of `devuan` that names it is of Mon, 03 Jun 2024" in said
        if mirrors == 1:
            assert "hint: `oven lock tiny --update`" in said
        else:
            assert good.asked("/apt_2.0_all.deb")


def test_the_proxy_of_the_settings_is_used(tmp_path: Path) -> None:
    """By apt for the index and by Oven for packages, whatever the environment says."""
    packages = archive(tmp_path / "archive", "1.0")
    recipe = project(tmp_path, RECIPE)
    settings = tmp_path / "config/oven/settings.toml"
    settings.parent.mkdir(parents=True)
    oven = Oven(tmp_path / "home").having(XDG_CONFIG_HOME=str(tmp_path / "config"))
    oven = oven.having(http_proxy=dead_url(), no_proxy="")
    with serve(packages.root) as proxy:
        settings.write_text(
            f'proxy = "{proxy.url}"\n[archive.devuan]\n'
            f'mirrors = ["http://archive.invalid/merged"]\nkeyring = "{packages.keyring}"\n'
        )
        # It gets as far as packages that are of no use.
        oven("build", recipe, "--no-probe", code=6)
    assert set(proxy.proxied_for) == {"archive.invalid"}
    assert proxy.asked("InRelease")
    assert proxy.asked("/apt_1.0_all.deb")
