"""Files of keys as strangers may write them."""

import itertools
import subprocess
from pathlib import Path

import pytest

from builder.distros.openpgp import NoKeyError, armored, public_keys
from tests.support.needs import needs

BEGIN = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"


@pytest.mark.parametrize(
    "data",
    [
        BEGIN * 100_000,  # four million bytes: as long as a file of keys may be
        BEGIN + b"\n" * 4_000_000,
        BEGIN + b"A: b\n" * 800_000,
        b"-----BEGIN PGP " * 300_000,
        b"\x99\xff\xff" + bytes(1000),
        b"\xc6\xff\xff\xff\xff\xff",
        b"",
    ],
)
def test_what_is_no_key_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(NoKeyError):
        public_keys(data)


@needs("program:gpg")
def test_keys_are_those_that_gpg_sees(tmp_path: Path) -> None:
    home = ("gpg", "--homedir", str(tmp_path), "--batch", "--passphrase", "")
    for name in ("one", "two"):
        subprocess.run([*home, "--quick-generate-key", f"{name}@example.org"], check=True)
    said = subprocess.check_output([*home, "--with-colons", "--list-keys"], text=True)
    rows = [line.split(":") for line in said.splitlines()]
    wanted = [row[9] for before, row in itertools.pairwise(rows) if before[0] == "pub"]
    plain, text = (subprocess.check_output([*home, *how, "--export"]) for how in ((), ("-a",)))
    subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=True)
    assert [key.fingerprint for key in public_keys(text)] == wanted
    [first, second] = public_keys(plain)
    assert [first.fingerprint, second.fingerprint] == wanted
    again = public_keys(armored(first.data) + b"\n" + armored(second.data))
    assert [key.fingerprint for key in again] == wanted
