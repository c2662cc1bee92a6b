"""The tools that Oven is compared with, told to make the same: a tar.zst of Debian's minimum."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import FOLDER, empty
from benchmarks.runner import Contender
from builder.distros.debian.archive.mirrors import find_mirrors
from builder.distros.debian.family import DEBIAN

SUITE = "bookworm"

MERGED = ("--include=usr-is-merged", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
"""Without it mmdebstrap installs the package `usrmerge`, and Perl for it: more work than ours."""

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

LEVEL = 3
"""The zstd level of Debian's zstd, of mmdebstrap, and of ours."""


def mmdebstrap() -> Contender:
    """Have mmdebstrap write a tar.zst by itself; it downloads everything, each time."""
    file = FOLDER / "peers" / "mmdebstrap.tar.zst"
    argv = ("mmdebstrap", "--variant=minbase", *MERGED, SUITE, str(file), *sources())
    return Contender("mmdebstrap", argv, before=lambda: _clear(file))


def debootstrap() -> Contender:
    """Have debootstrap make a folder, and tar and zstd what it makes.

    It knows only one pocket, so updates of its packages are left out.
    """
    folder = FOLDER / "peers" / "debootstrap"
    file = folder.with_suffix(".tar.zst")
    make = ("debootstrap", "--variant=minbase", "--include=usr-is-merged", SUITE, str(folder))
    pack = f"tar --numeric-owner --xattrs -C {folder} -c . | zstd -q -{LEVEL} -T0 -o {file}"
    mirror = find_mirrors({})["debian"][0]
    script = f"{shlex.join((*make, mirror))} && {pack}"

    def before() -> None:
        empty("peers/debootstrap")
        _clear(file)

    return Contender("debootstrap, tar, zstd", ("sh", "-c", script), before=before)


def sources() -> tuple[str, ...]:
    """Give lines for apt that name the same mirrors and pockets as Oven takes."""
    mirrors = find_mirrors({})
    lines = [
        f"deb {mirrors[archive][0]} {suite} main"
        for archive, suite in DEBIAN.pockets(SUITE, "amd64")
    ]
    return tuple(lines)


def _clear(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Mkosi:
    """One version of mkosi, told to install packages by name."""

    program: str
    packages: Sequence[str]

    @property
    def version(self) -> str:
        """What it calls itself."""
        argv = (self.program, "--version")
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        return done.stdout.split()[1]

    @property
    def old(self) -> bool:
        """Whether it has the options, and the needs, of before version 15."""
        return int(re.sub(r"\D.*", "", self.version)) < 15

    @property
    def lacks(self) -> str | None:
        """Tell why it cannot run on this machine; None when it can."""
        if self.old and not Path("/run/systemd/system").is_dir():
            return "it runs systemd-nspawn, which needs a machine that systemd has booted"
        return None

    @property
    def name(self) -> str:
        """Of its rows."""
        return f"mkosi {self.version}"

    @property
    def folder(self) -> Path:
        """Where it works."""
        return FOLDER / "peers" / f"mkosi-{self.version}"

    @property
    def file(self) -> Path:
        """The file that it writes."""
        return self.folder / "out/minimum.tar.zst"

    @property
    def overlay(self) -> Path:
        """The tree that it copies over the packages."""
        return self.folder / "extra"

    def cold(self) -> Contender:
        """Build without anything that is cached."""
        return Contender(self.name, self._argv(), before=self.forget)

    def incremental(self) -> Contender:
        """Build again from the image that it has cached after the packages."""
        return Contender(f"{self.name} --incremental", self._argv("-i"))

    def forget(self) -> None:
        """Leave nothing but the configuration."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("project", "out", "cache", "packages", "workspace", "extra/etc"):
            (self.folder / name).mkdir(parents=True)
        file = self.folder / "sandbox/etc/apt/sources.list.d/mkosi.sources"
        file.parent.mkdir(parents=True)
        # By default it fetches indexes of sources and of debug symbols too, which no other does.
        file.write_text("\n".join(map(_deb822, sources())))

    def _argv(self, *more: str) -> tuple[str, ...]:
        shared = ("-d", "debian", "-r", SUITE, "-t", "tar", "-f", "--bootable=no", *more)
        shared += ("--compress-output=zstd",)
        place = self.folder
        if self.old:
            options = {
                "--mirror": find_mirrors({})["debian"][0],
                "--base-packages": "no",
                "--cache": place / "packages",
                "--workspace-dir": place / "workspace",
                "--output": self.file,
            }
            first: tuple[str, ...] = ("-C", str(place / "project"))
        else:
            options = {
                "--sandbox-tree": place / "sandbox",
                "--compress-level": LEVEL,
                "--package-cache-dir": place / "packages",
                "--cache-directory": place / "cache",
                "--workspace-directory": place / "workspace",
                "--output-dir": place / "out",
                "--output": "minimum",
                "--clean-package-metadata": "no",
            }
            first = ("--directory", str(place / "project"))
        named = [f"{name}={value}" for name, value in options.items()]
        packages = [f"--package={package}" for package in self.packages]
        extra = f"--extra-tree={self.overlay}"
        return (self.program, *first, *shared, *named, *packages, extra, "build")


def _deb822(line: str) -> str:
    _, url, suite, component = line.split()
    return (
        f"Types: deb\nURIs: {url}\nSuites: {suite}\nComponents: {component}\nSigned-By: {KEYRING}\n"
    )
