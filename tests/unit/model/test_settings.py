"""Settings files are laid over each other, and their mistakes shown like a recipe's."""

from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.errors import RecipeError
from builder.model.settings import Archive, Settings
from builder.recipes.load import load_settings


def test_no_files_are_no_settings(tmp_path: Path) -> None:
    assert load_settings([tmp_path / "none.toml"]) == Settings()


def test_the_later_file_wins_key_by_key(tmp_path: Path) -> None:
    machine, user = tmp_path / "machine.toml", tmp_path / "user.toml"
    machine.write_text("""\
jobs = 2
proxy = "http://proxy.example:3128"
[archive.debian]
mirrors = ["http://one.example/debian"]
keyring = "/etc/keys.gpg"
[archive.debian-security]
mirrors = ["http://one.example/debian-security"]
[network]
subnet = "10.86.0.0/24"
""")
    user.write_text("""\
jobs = 8
[archive.debian]
mirrors = ["https://two.example/debian/", "file:///srv/debian"]
""")
    settings = load_settings([machine, tmp_path / "none.toml", user])
    assert settings.jobs == 8
    assert settings.proxy == "http://proxy.example:3128"
    assert settings.network.subnet == "10.86.0.0/24"
    assert settings.archive == {
        "debian": Archive(
            mirrors=("https://two.example/debian/", "file:///srv/debian"), keyring="/etc/keys.gpg"
        ),
        "debian-security": Archive(mirrors=("http://one.example/debian-security",)),
    }


def test_what_the_later_file_leaves_out_stays(tmp_path: Path) -> None:
    machine, user = tmp_path / "machine.toml", tmp_path / "user.toml"
    machine.write_text('jobs = 2\n[archive.debian]\nmirrors = ["http://one.example/debian"]\n')
    user.write_text('[archive.debian]\nkeyring = "/keys.gpg"\n[network]\nsubnet = "10.1.0.0/16"\n')
    settings = load_settings([machine, user])
    assert settings.jobs == 2
    assert settings.network.subnet == "10.1.0.0/16"
    assert settings.archive["debian"] == Archive(
        mirrors=("http://one.example/debian",), keyring="/keys.gpg"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[archive.debian]\nmirors = []\n",
            """\
error: unknown key `mirors`
  --> settings.toml:2:1
  |
2 | mirors = []
  | ^^^^^^
hint: did you mean `mirrors`?
""",
        ),
        (
            '[archive.debian]\nmirrors = ["ftp://x.example/"]\n',
            """\
error: `ftp://x.example/` is not an address of an archive
  --> settings.toml:2:12
  |
2 | mirrors = ["ftp://x.example/"]
  |            ^^^^^^^^^^^^^^^^^^
hint: `http://…`, `https://…` or `file:///…`
""",
        ),
        (
            '[network]\nsubnet = "10.86.0.1/24"\n',
            """\
error: `10.86.0.1/24` is not an IPv4 network
  --> settings.toml:2:10
  |
2 | subnet = "10.86.0.1/24"
  |          ^^^^^^^^^^^^^^
hint: write it as `10.86.0.0/24`, with zeros after the network's part
""",
        ),
        (
            '[network]\nsubnet = "8.8.8.0/24"\n',
            """\
error: `8.8.8.0/24` does not suit containers
  --> settings.toml:2:10
  |
2 | subnet = "8.8.8.0/24"
  |          ^^^^^^^^^^^^
hint: take a private network of /16 to /28, such as `10.86.0.0/24`
""",
        ),
        (
            "jobs = 0\n",
            """\
error: `jobs` must be at least 1
  --> settings.toml:1:8
  |
1 | jobs = 0
  |        ^
""",
        ),
        (
            "[archive.Debian]\n",
            """\
error: `Debian` is not an archive name
  --> settings.toml:1:10
  |
1 | [archive.Debian]
  |          ^^^^^^
hint: such as `debian` or `debian-security`
""",
        ),
    ],
)
def test_a_mistake_is_shown_where_it_stands(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_settings([path])
    assert render(caught.value) == expected


@pytest.mark.parametrize("subnet", ["10.0.0.0/8", "10.0.0.0/30", "x", "fd00::/64", "10.0.0.0"])
def test_networks_that_containers_cannot_be_in(subnet: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'[network]\nsubnet = "{subnet}"\n')
    with pytest.raises(RecipeError):
        load_settings([path])
