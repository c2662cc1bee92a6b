"""Pockets: the signed folders of an archive, and what their Release files say, as values."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.host.programs import Command, Runner
from builder.model.errors import TrustError, UpstreamError
from builder.model.lock import Release, seconds_of


@dataclass(frozen=True, slots=True)
class Pocket:
    """One signed folder of an archive, as apt has fetched and verified it."""

    archive: str
    suite: str
    in_release: Path
    packages: tuple[Path, ...]
    added: bool = False
    """Whether a recipe has added it to the distribution's own."""
    label: str = ""
    """What tells it from others of its archive, where it must be asked for."""

    @property
    def called(self) -> str:
        """Say what it is asked for by."""
        return self.label or self.archive


def list_name(suite: str, file: str) -> str:
    """Give the pattern of the name under which apt keeps a file of a suite."""
    quoted = re.sub("[_~]", lambda found: f"%{ord(found[0]):02x}", suite)
    if suite.endswith("/"):  # flat
        return f"*_{quoted.lstrip('/').replace('/', '_')}{file}"
    return f"*_dists_{quoted.replace('/', '_')}_{file}"


def find_pockets(
    lists: Path,
    pockets: Iterable[tuple[str, str]],
    *,
    added: bool = False,
    arch: str = "",
    label: str = "",
) -> tuple[Pocket, ...]:
    """Find what `apt-get update` left in its folder of lists; those of `arch` come first."""
    found = []
    for archive, suite in pockets:
        signed = sorted(lists.glob(list_name(suite, "InRelease")))
        if not signed:
            raise UpstreamError(f"the mirror of `{archive}` has no InRelease file for `{suite}`")
        packages = "Packages" if suite.endswith("/") else "*_Packages"
        files = sorted(lists.glob(list_name(suite, packages)))
        files.sort(key=lambda path: f"_binary-{arch}_" not in path.name)
        found.append(Pocket(archive, suite, signed[0], tuple(files), added, label))
    return tuple(found)


def read_release(pocket: Pocket, keyring: Path, run: Runner) -> Release:
    """Note which signed index this is, and who signed it."""
    data = pocket.in_release.read_bytes()
    # Debian gives a pocket a code name of its own, Ubuntu a suite of its own.
    names = (release_field(data, "Codename"), release_field(data, "Suite"))
    if pocket.suite not in names and not (pocket.added and _may_be(pocket.suite, names)):
        # The signature says that the bytes are genuine, not that they are what was asked for.
        raise TrustError(
            f"the mirror of `{pocket.archive}` serves `{names[0]}` in place of `{pocket.suite}`"
        )
    argv = ("gpgv", "--status-fd", "1", "--keyring", str(keyring), str(pocket.in_release))
    status = run(Command(argv)).stdout.decode(errors="replace")
    # The last word is the fingerprint of the primary key (GnuPG's doc/DETAILS).
    signers = re.findall(r"^\[GNUPG:\] VALIDSIG .*?([0-9A-F]{40})$", status, re.MULTILINE)
    if not signers:
        raise TrustError(f"the InRelease file of `{pocket.suite}` has no good signature")
    return Release(
        archive=pocket.archive,
        suite=pocket.suite,
        sha256=hashlib.sha256(data).hexdigest(),
        date=release_field(data, "Date"),
        signed_by=tuple(sorted(set(signers))),
        known_as=_known_as(data) if pocket.added else msgspec.UNSET,
    )


def _may_be(suite: str, names: tuple[str, ...]) -> bool:
    """Tell whether an archive that names its suites less strictly may mean this one."""
    return suite.endswith("/") or not any(names) or suite.partition("/")[0] in names


def _known_as(release: bytes) -> str:
    """Write what tells a suite from others, as apt's pins have it."""
    words = {"o": "Origin", "l": "Label", "a": "Suite", "n": "Codename"}
    found = {key: release_field(release, name) for key, name in words.items()}
    plain = re.compile(r"[\w.+/~-][\w.+/~ -]*", re.ASCII)  # with these, there is nothing to quote
    return ",".join(f"{key}={text}" for key, text in found.items() if plain.fullmatch(text))


def release_field(data: bytes, name: str) -> str:
    """Read a one-line field of a Release file; an absent one is empty."""
    found = re.search(rf"^{name}:(.*)$".encode(), data, re.MULTILINE)
    return found[1].strip(b" ").decode(errors="replace") if found else ""


def epoch_of(releases: Iterable[Release]) -> int:
    """Give the newest date, in seconds since 1970; UpstreamError for what is no date."""
    return max(map(_time_of, releases))


def _time_of(release: Release) -> int:
    if (time := seconds_of(release.date)) is None:
        problem = f"the index of `{release.suite}` has a date that is none: {release.date[:100]!r}"
        raise UpstreamError(problem)
    return time
