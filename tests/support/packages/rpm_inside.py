"""A tree with a dnf and an rpm of its own: this machine's, which is a Debian's."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path

from tests.support.containers.rig import add_program, tiny_tree
from tests.support.packages.rpm_archive import BASEOS, Rpm, RpmArchive

PYTHON = Path("/usr/bin/python3").readlink().name
"""The host's, such as `python3.11`."""
PACKAGES = (
    "dnf", "dnf-data", "python3-dnf", "python3-libdnf", "python3-hawkey", "python3-libcomps",
    "python3-gpg", "python3-rpm", "rpm", "rpm-common", "python3-minimal", f"{PYTHON}-minimal",
    f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib",
)  # fmt: skip
LEFT_OUT = re.compile(
    r"/usr/share/(?!dnf|python)|/etc/(?!dnf|rpm)|/usr/lib/systemd/|"
    r"/usr/lib/python3\.\d+/(test|idlelib|lib2to3|pydoc_data|ensurepip)/"
)
PROGRAMS = ("cp", "mv", "grep")

REPOSITORY = "[tests]\nname=tests\nbaseurl=file:///srv/repository\ngpgcheck=0\n"
MACROS = "%_dbpath /var/lib/rpm\n"


def tree_with_dnf(root: Path) -> Path:
    """Make a tree that runs a shell, dnf and rpm, and knows one repository of its own."""
    tiny_tree(root)
    for program in PROGRAMS:
        add_program(root, program)
    listed = subprocess.run(
        ["dpkg", "-L", *PACKAGES], capture_output=True, text=True, check=True
    ).stdout
    paths = {Path(line) for line in listed.splitlines() if not LEFT_OUT.match(line + "/")}
    files = sorted(path for path in paths if path.is_file() or path.is_symlink())
    # Or each run of dnf compiles itself.
    compiled = map(Path, map(cache_from_source, (path for path in files if path.suffix == ".py")))
    files += [path for path in compiled if path.exists()]
    for path in (*files, *_libraries(files)):
        _copy(path, root)
    for name, text in {
        "etc/yum.repos.d/tests.repo": REPOSITORY,
        "etc/rpm/macros.tests": MACROS,
        "etc/dnf/dnf.conf": "[main]\ngpgcheck=0\nbest=1\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for folder in ("var/cache", "var/log", "var/lib/rpm", "srv", "root"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    return root


def _libraries(files: Iterable[Path]) -> set[Path]:
    binaries = [path for path in files if not path.is_symlink() and _is_elf(path)]
    said = subprocess.run(["ldd", *binaries], capture_output=True, text=True).stdout
    return {Path(found) for found in re.findall(r"(?:=> )?(/\S+) \(0x", said)}


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _copy(path: Path, root: Path) -> None:
    """Copy a file to where a merged /usr has it."""
    parent = path.parent.resolve()
    target = root / parent.relative_to("/") / path.name
    if not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    if path.is_symlink() and (there := path.resolve()).is_file():
        _copy(there, root)


def repository(folder: Path, packages: tuple[Rpm, ...], *, tree: Path) -> RpmArchive:
    """Make packages, some of them of the files of a tree, and a repository of them, unsigned."""
    archive = RpmArchive(folder)
    archive.gnupg.mkdir(parents=True, mode=0o700)
    (archive.pub / BASEOS / "Packages").mkdir(parents=True)
    for package in packages:
        archive.build([package], tree=tree, signer=None)
    archive.index(BASEOS, signer=None)
    return archive


def give(archive: RpmArchive, root: Path) -> None:
    """Put the repository into a tree, where its dnf finds it."""
    shutil.copytree(archive.pub / BASEOS, root / "srv/repository")


def install(root: Path, *files: Path) -> None:
    """Install packages into a tree with this machine's rpm."""
    options = ("--root", str(root), "--dbpath", "/var/lib/rpm", "--nosignature")
    done = subprocess.run(
        ["rpm", *options, "--install", *map(str, files)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for path in (root / "var/lib/rpm").glob("rpmdb.sqlite-*"):  # as a build does
        path.unlink()
