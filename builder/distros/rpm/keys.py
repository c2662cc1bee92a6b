"""Keys: which ones sign a distribution's packages, pinned by fingerprint."""

import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.distros.keys import Keys
from builder.host.programs import Command, Runner, check
from builder.host.trees.durable import replace
from builder.model.errors import HostError, TrustError

FOLDERS = (Path("/usr/share/distribution-gpg-keys"), Path("/etc/pki/rpm-gpg"))
"""Where packages of this host may have put the keys of distributions."""

KEYRING = "pinned.gpg"
"""The file that `pinned_keys` writes."""

_FINGERPRINT = re.compile(r"^fpr:+([0-9A-F]{40}):", re.MULTILINE)


def find_key_file(names: Iterable[str]) -> Path | None:
    """Look for a file of one of these names, in the folders above and one level below."""
    for name in names:
        for folder in FOLDERS:
            for path in (folder / name, *sorted(folder.glob(f"*/{name}"))):
                if path.is_file():
                    return path
    return None


def read_keys(path: Path, title: str) -> bytes:
    """Read a file of OpenPGP keys, armored or not; raises HostError when it is not there."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise HostError(
            f"the keys of {title} are not at `{path}`",
            hint="save there what the distribution publishes, or name a `keyring` in the settings",
        ) from error


def pinned_keys(keys: Keys, folder: Path, run: Runner) -> str:
    """Give those of the keys that are pinned, and no others, armored as rpm takes them.

    `folder` gets the same as `KEYRING`, for gpgv. Raises TrustError when one is not in the file.
    """
    # Not below `folder`: gpg's home holds sockets, whose paths have 107 characters at most.
    with TemporaryDirectory(prefix="oven-keys-") as lent:
        home = Path(lent)
        there = fingerprints(keys.data, home, run)
        asked = keys.fingerprints or there
        if not there:
            raise TrustError("the keyring has no keys")
        if missing := [one for one in asked if one not in there]:
            raise TrustError(
                f"the keyring has no key with the fingerprint {' or '.join(missing)}",
                hint=f"it has: {', '.join(there)}",
            )
        _gpg(run, home, "--import", stdin=keys.data)
        export = ("--export-options", "export-minimal", "--export", *asked)
        replace(folder / KEYRING, _gpg(run, home, *export))
        return _gpg(run, home, "--armor", *export).decode()


def fingerprints(keys: bytes, home: Path, run: Runner) -> tuple[str, ...]:
    """Give the fingerprints of the primary keys in a file."""
    argv = (*_argv(home), "--with-colons", "--import-options", "show-only", "--import")
    done = run(Command(argv, stdin=keys))
    listed = done.stdout.decode(errors="replace")
    # After each `pub` comes its own fingerprint; those of subkeys are not what is pinned.
    return tuple(
        found[1]
        for part in re.split(r"^pub:", listed, flags=re.MULTILINE)[1:]
        if (found := _FINGERPRINT.search(part))
    )


def _argv(home: Path) -> tuple[str, ...]:
    # No daemon is started for public keys, and none is left behind.
    options = ("--batch", "--quiet", "--no-autostart", "--no-auto-check-trustdb")
    return ("gpg", "--homedir", str(home), *options, "--trust-model", "always")


def _gpg(run: Runner, home: Path, *argv: str, stdin: bytes = b"") -> bytes:
    return check(run, *_argv(home), *argv, stdin=stdin)


def signers(signed: Path, folder: Path, run: Runner) -> tuple[str, ...]:
    """Give the primary keys of those that `pinned_keys` knows and that have signed a file."""
    argv = ("gpgv", "--status-fd", "1", "--keyring", str(folder / KEYRING))
    done = run(Command((*argv, f"{signed}.asc", str(signed))))
    status = done.stdout.decode(errors="replace")
    # GnuPG's doc/DETAILS; a program that fails may still have found one of several to be good.
    found = re.findall(r"^\[GNUPG:\] VALIDSIG .*?([0-9A-F]{40})$", status, re.MULTILINE)
    return tuple(sorted(set(found)))
