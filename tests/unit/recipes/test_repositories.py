"""Repositories of recipes: what is asked of them, by whom they are signed, and where keys are."""

import subprocess
from pathlib import Path

import pytest

from builder.distros.openpgp import NoKeyError, armored, public_keys
from builder.model.errors import RecipeError
from builder.model.lock import Asked, AskedLayer, changed_keys
from builder.model.recipe import Arch
from builder.model.value import canonical
from builder.recipes import repositories
from builder.recipes.load import load_file
from builder.recipes.repositories import asked_repositories
from builder.recipes.request import asked_for
from tests.support.needs import needs
from tests.support.packages.archive import short

RECIPE = """\
[template]
name = "r"

[base]
distro = "debian"
suite = "bookworm"
arch = ["amd64", "arm64"]

[[repository]]
name = "vendor"
url = "https://vendor.example/apt"
suites = ["stable"]
components = ["main"]
"""


@pytest.fixture(scope="module")
def gnupg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("gnupg", numbered=True)
    home.chmod(0o700)
    for user in ("one", "two"):
        gpg(home, "--quick-generate-key", f"{user}@example.invalid", "ed25519", "sign", "never")
    subprocess.run(["gpgconf", "--homedir", short(home), "--kill", "all"], check=True)
    return home


def gpg(home: Path, *argv: str) -> bytes:
    options = ("--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase=")
    line = ("gpg", "--homedir", str(short(home)), *options, *argv)
    return subprocess.run(line, check=True, capture_output=True).stdout


def listed(home: Path) -> list[str]:
    rows = [
        row.split(":") for row in gpg(home, "--with-colons", "--list-keys").decode().split("\n")
    ]
    return [row[9] for row in rows if row[0] == "fpr"]


@needs("program:gpg")
def test_fingerprints_are_those_that_gpg_tells(gnupg: Path) -> None:
    plain, armored = gpg(gnupg, "--export"), gpg(gnupg, "--armor", "--export")
    each = [gpg(gnupg, "--armor", "--export", f"{user}@example.invalid") for user in ("one", "two")]
    for data in (plain, armored, b"\n".join(each), b"a word before\n" + armored):
        keys = public_keys(data)
        assert sorted(key.fingerprint for key in keys) == sorted(listed(gnupg))
        assert sorted(key.data for key in keys) == sorted(key.data for key in public_keys(plain))
    assert b"".join(key.data for key in public_keys(armored)) == plain


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a key\n",
        b"\x98\xff",
        b"\xc6\xff\xff\xff\xff\xff\x04",
        b"\xc6\xe0\x04",
        b"\x9b\x04",
        b"\xc6\x01\x03",
        b"\xc2\x01\x04",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!\n-----END PGP PUBLIC KEY BLOCK-----\n",
        b"-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n",
    ],
)
def test_what_is_no_key_is_told(data: bytes) -> None:
    with pytest.raises(NoKeyError):
        public_keys(data)


@needs("program:gpg")
def test_a_key_is_found_on_this_machine(
    gnupg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rings/below").mkdir(parents=True)
    (tmp_path / "rings/below/both.gpg").write_bytes(gpg(gnupg, "--export"))
    (tmp_path / "rings/README").write_text("none\n")
    monkeypatch.setattr(repositories, "KEYRINGS", (tmp_path / "none", tmp_path / "rings"))
    first, _ = listed(gnupg)
    path = tmp_path / "r.toml"
    path.write_text(f'{RECIPE}fingerprint = "{first.lower()}"\n')
    (asked,) = asked_repositories(load_file(path), Arch.AMD64)
    assert asked.keys == (first,)
    path.write_text(f'{RECIPE}fingerprint = "{"9" * 40}"\n')
    with pytest.raises(RecipeError, match="no keyring of this machine has the key 9999") as caught:
        asked_repositories(load_file(path), Arch.AMD64)
    assert caught.value.at is not None
    assert caught.value.at.line == 14


@needs("program:gpg")
def test_only_its_architectures_ask_for_it(gnupg: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r/k").write_bytes(gpg(gnupg, "--export"))
    path = tmp_path / "r.toml"
    path.write_text(f'{RECIPE}key = "k"\narchitectures = ["arm64"]\n')
    loaded = load_file(path)
    assert asked_for(loaded, Arch.AMD64).repositories == ()
    (asked,) = asked_for(loaded, Arch.ARM64).repositories
    assert asked.keys == tuple(sorted(listed(gnupg)))
    without = asked_for(loaded, Arch.ARM64)
    assert changed_keys(without, without) == ()


def test_locks_without_repositories_say_what_they_always_did() -> None:
    layer = AskedLayer(recipe="r", install=("x",))
    asked = Asked(distro="d", suite="s", arch=Arch.AMD64, components=("main",), layers=(layer,))
    assert b"repositor" not in canonical(asked)


@needs("program:gpg")
def test_armor_is_what_gpg_reads(gnupg: Path, tmp_path: Path) -> None:
    plain = gpg(gnupg, "--export")
    (tmp_path / "keys.asc").write_bytes(armored(plain))
    assert gpg(gnupg, "--dearmor", "-o", "-", str(tmp_path / "keys.asc")) == plain
    assert armored(plain).split(b"\n")[2:] == gpg(gnupg, "--armor", "--export").split(b"\n")[2:]
