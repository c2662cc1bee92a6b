"""The packages of a tree, as the databases of rpm and dnf tell of them."""

import re
from collections.abc import Iterable
from pathlib import Path

from builder.distros.package_manager import (
    Find,
    InstalledPackage,
    OwnPath,
    PackageContents,
    Packages,
    PackageWork,
)
from builder.host.overlayfs.layered import LayeredEntry
from builder.host.programs import find_program, missing_program
from builder.model.errors import HostError

# Rpm's database is a binary file that a container wrote. The host's rpm reads a copy of it, without
# rights, where it sees nothing else.

_FOLDERS = ("usr/lib/sysimage/rpm", "var/lib/rpm")
_KINDS = (("rpmdb.sqlite", "rpmdb.sqlite-wal"), ("Packages.db",), ("Packages",))
"""The files of each kind of database that there has been."""
_LIMIT = 256 << 20

_REASONS = Path(__file__).parent / "reasons.py"
_HISTORY = ("var/lib/dnf/history.sqlite", "var/lib/dnf/history.sqlite-wal")
_STATE = "usr/lib/sysimage/libdnf5/packages.toml"
"""Where dnf 4 and dnf 5 keep why a package was installed."""

_ROWS = "%{NAME}\\t%{ARCH}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n"
_FILES = "[%{FILEFLAGS}\\t%{FILEDIGESTS}\\t%{FILENAMES}\\n]"
_WORDS = "%{PREIN}\\n%{POSTIN}\\n[%{PROVIDENAME}\\n]"
_CONFIG, _GHOST = 1 << 0, 1 << 6
"""RPMFILE_CONFIG, and RPMFILE_GHOST: a package's by name, with what was made since in it."""
_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
"""By the digits of a digest."""
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~^:-]{0,255}")
"""What names, architectures and versions are made of (rpm-version(7))."""
_AT_ONCE = 1000
"""Packages that one command line names."""
_KEY = "gpg-pubkey"
"""What rpm calls a key that it trusts; it is no package."""

_ENVIRONMENT = ("LC_ALL=C.UTF-8",)
_DNF = (*_ENVIRONMENT, "dnf", "--quiet", "--assumeyes")
_KEPT = ".oven-kept"
_KEEP = f"""\
for file do
    test ! -f "$file" || test -e "$file{_KEPT}" || cp -a "$file" "$file{_KEPT}" || exit
done
"""
_GIVE_BACK = f"""\
for file do test ! -e "$file{_KEPT}" || mv -f "$file{_KEPT}" "$file" || exit; done
"""
_MARK = """\
dnf --quiet --assumeyes mark dependency "$@" 2>/dev/null ||
    dnf --quiet --assumeyes mark remove "$@"
"""
"""As dnf 5 has it, and dnf 4."""


class RpmDatabase:
    """The package manager of the RPM family: rpm, and dnf in front of it."""

    own: tuple[OwnPath, ...] = (
        *(
            OwnPath(f"{folder}/{name}", "ignored", "made and removed when it is looked into")
            for folder in _FOLDERS
            for name in ("rpmdb.sqlite-*", ".rpm.lock")
        ),
        OwnPath("var/lib/dnf/**", "ignored", "what was done when"),
        OwnPath("usr/lib/sysimage/libdnf5/**", "ignored", "what was done when"),
        *(
            OwnPath(f"{folder}/**", "database", "it must tell of the template's files")
            for folder in _FOLDERS
        ),
        OwnPath("var/lib/dnf/**", "keep", "also tells what a person has asked for"),
        OwnPath("usr/lib/sysimage/libdnf5/**", "keep", "also tells what a person has asked for"),
    )

    def installed(self, find: Find) -> Packages:
        """Read rpm's database, and what dnf notes of the reasons."""
        found: dict[tuple[str, str], InstalledPackage] = {}
        database = _database(find)
        if not database:
            return found
        automatic = _automatic(find)
        for line in _lines(database, "--all", "--queryformat", _ROWS):
            words = line.split("\t")
            if words[0] == _KEY:
                continue
            if len(words) != 3 or not all(map(_WORD.fullmatch, words)):
                where = next(iter(database.values())).path
                raise _unreadable(where, f"{line[:100]!r} is no package")
            name, arch, version = words
            spec, before = f"{name}.{arch}", found.get((name, arch))
            if before is not None:  # kernels, of which there may be several
                version = f"{before.version}, {version}"
            found[name, arch] = InstalledPackage(name, arch, version, spec, spec in automatic)
        return found

    def contents(self, find: Find, packages: Iterable[InstalledPackage]) -> PackageContents:
        """Read what packages have brought."""
        found = PackageContents()
        specs, database = [one.spec for one in packages], _database(find)
        for first in range(0, len(specs), _AT_ONCE):
            self._add_contents(found, database, specs[first : first + _AT_ONCE])
        return found

    def _add_contents(
        self, found: PackageContents, database: dict[str, LayeredEntry], specs: list[str]
    ) -> None:
        for line in _lines(database, "--queryformat", _FILES, *specs):
            flags, digest, path = (*line.split("\t", 2), "", "")[:3]
            bits = int(flags) if re.fullmatch("[0-9]{1,9}", flags) else _GHOST
            path = path.strip("/")
            if bits & _GHOST or not path:
                continue
            found.files.add(path)
            if bits & _CONFIG and (algorithm := _ALGORITHMS.get(len(digest))):
                found.configs[path] = f"{algorithm}:{digest}"
        for line in _lines(database, "--queryformat", _WORDS, *specs):
            # A package that makes a user provides `user(NAME)`.
            found.words.update(re.sub("[\"'=()]", " ", line).split())

    def finish(self, work: PackageWork) -> tuple[tuple[str, ...], ...]:
        """Have dnf do it; rpm would put some configuration files that are there aside."""
        commands: list[tuple[str, ...]] = []
        kept = tuple(f"/{path}" for path in work.configs)
        if work.install:
            install = (*_DNF, "--setopt=install_weak_deps=False", "install", *work.install)
            keep, give_back = ((*_ENVIRONMENT, "sh", "-c", script, "sh", *kept)
                               for script in (_KEEP, _GIVE_BACK))  # fmt: skip
            commands += [keep, install, give_back] if kept else [install]
        if work.automatic:
            commands.append((*_ENVIRONMENT, "sh", "-c", _MARK, "sh", *work.automatic))
        if work.remove:
            alone = "--setopt=clean_requirements_on_remove=False"
            commands.append((*_DNF, alone, "remove", *work.remove))
        return tuple(commands)


def _database(find: Find) -> dict[str, LayeredEntry]:
    """Find the files of the database, by name; none where there is no database."""
    for folder in _FOLDERS:
        for names in _KINDS:
            found = {name: entry for name in names if (entry := find(f"{folder}/{name}"))}
            if names[0] in found:
                for entry in found.values():
                    _check(entry)
                return found
    return {}


def _check(entry: LayeredEntry) -> None:
    if not entry.is_file:
        raise _unreadable(entry.path, "not a regular file")
    if entry.status.st_size > _LIMIT:
        raise _unreadable(entry.path, f"larger than {_LIMIT} bytes")


def _unreadable(path: str, why: str) -> HostError:
    return HostError(f"the table of packages cannot be read: `/{path}`: {why}")


def _lines(database: dict[str, LayeredEntry], *words: str) -> list[str]:
    """Ask the host's rpm, and give what it says; HostError for a database that it cannot read."""
    from builder.host.sandbox.stranger import FOLDER, read_by  # a comparison alone does without

    if find_program("rpm") is None:
        raise missing_program("rpm")
    done = read_by(("rpm", "--dbpath", FOLDER, "--query", *words), database)
    complaints = done.stderr.decode(errors="replace").splitlines()
    wrong = next((line for line in complaints if line.startswith("error: ")), "")
    if done.code != 0 or wrong:
        path = next(iter(database.values())).path
        raise _unreadable(path, wrong.removeprefix("error: ") or f"rpm ended with {done.code}")
    # Names of files need not be UTF-8, and may have in them what Python takes for ends of lines.
    return done.stdout.decode(errors="surrogateescape").split("\n")[:-1]


def _automatic(find: Find) -> set[str]:
    """Name the packages that nobody has asked for; what cannot be read was asked for."""
    from builder.distros.rpm.dnf import PYTHON
    from builder.host.sandbox.stranger import FOLDER, read_by

    paths = (*_HISTORY, _STATE)
    found = {path.rpartition("/")[2]: entry for path in paths if (entry := find(path))}
    usable = {name: entry for name, entry in found.items()
              if entry.is_file and entry.status.st_size <= _LIMIT}  # fmt: skip
    if not usable or find_program(PYTHON) is None:
        return set()
    done = read_by((PYTHON, "-I", str(_REASONS), FOLDER), usable, _REASONS)
    return set(done.stdout.decode(errors="replace").splitlines()) if done.code == 0 else set()
