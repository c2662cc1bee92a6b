"""Java's certificates as Java itself writes and reads them."""

import subprocess
from pathlib import Path

import pytest

from builder.host.trees.treeio import TreeIO
from builder.stages.tree.java_keys import FILE, forget_times
from tests.support.needs import needs

pytestmark = needs("program:keytool")

EPOCH = 1_700_000_000
STORE = ("-storetype", "JKS", "-storepass", "changeit", "-noprompt")


def keytool(*arguments: str | Path) -> str:
    argv = ["keytool", "-J-Duser.timezone=UTC", *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    made = []
    for name in ("one", "two"):
        keys = folder / f"{name}.jks"
        named = ("-alias", name, "-keystore", keys, *STORE)
        keytool("-genkeypair", "-keyalg", "EC", "-dname", f"CN={name}", *named)
        keytool("-exportcert", "-file", folder / f"{name}.crt", *named)
        made.append(folder / f"{name}.crt")
    return made[0], made[1]


def store(folder: Path, *certificates: Path) -> Path:
    path = folder / FILE
    path.parent.mkdir(parents=True)
    for one in certificates:
        keytool("-importcert", "-alias", one.stem, "-file", one, "-keystore", path, *STORE)
    path.chmod(0o640)
    return path


def settle(folder: Path) -> None:
    with TreeIO(folder) as tree:
        forget_times(tree, epoch=EPOCH)


def test_the_same_certificates_give_the_same_bytes(
    tmp_path: Path, certificates: tuple[Path, Path]
) -> None:
    one, two = certificates
    first = store(tmp_path / "first", one, two)
    second = store(tmp_path / "second", two, one)
    assert first.read_bytes() != second.read_bytes()
    for name in ("first", "second"):
        settle(tmp_path / name)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o640
    listed = keytool("-list", "-v", "-keystore", first, *STORE)
    assert listed.count("Creation date: Nov 14, 2023") == 2
    assert "Alias name: one" in listed


def test_what_has_keys_or_another_password_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    for password in ("changeit", "something else"):
        path.unlink(missing_ok=True)
        more = ("-storetype", "JKS", "-storepass", password, "-keypass", password, "-noprompt")
        named = ("-alias", "mine", "-dname", "CN=mine", "-keyalg", "EC")
        keytool("-genkeypair", *named, "-keystore", path, *more)
        before = path.read_bytes()
        settle(tmp_path)
        assert path.read_bytes() == before


def test_what_is_no_store_stays_as_it_is(tmp_path: Path, certificates: tuple[Path, Path]) -> None:
    path = store(tmp_path, certificates[0])
    whole = path.read_bytes()
    for data in (b"", b"\xfe\xed\xfe\xed", whole[:-1], whole[:40], whole + b"x"):
        path.write_bytes(data)
        settle(tmp_path)
        assert path.read_bytes() == data
