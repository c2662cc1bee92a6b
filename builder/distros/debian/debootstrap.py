"""The other bootstrap: Debian's own debootstrap, from a repository of the locked packages only."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from builder.distros.buildroot import Kitchen
from builder.distros.debian.database import UnpackedPackage, closure
from builder.distros.debian.package.unpack import blob_of
from builder.host.kernel.namespaces import current
from builder.host.programs import Command, failed
from builder.host.sandbox.binfmt import is_foreign
from builder.host.sandbox.sandbox import secluded
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError, RecipeError
from builder.model.extras import ALL
from builder.model.recipe import Arch

SCRIPT = "/usr/share/debootstrap/scripts/sid"

LEFTOVERS = ("etc/apt/sources.list", "debootstrap")
"""What names the repository, whose place differs from build to build."""


def debootstrap(packages: Sequence[UnpackedPackage], kitchen: Kitchen) -> None:
    """Make `kitchen.tree` of packages that depend on nothing else."""
    if current().unprivileged:
        raise HostError(
            "debootstrap makes device nodes, which only real root may",
            hint="leave out `--bootstrap debootstrap`; Oven's own bootstrap needs no root",
        )
    if is_foreign(Arch(kitchen.arch)):
        raise HostError(
            f"debootstrap cannot make a tree for {kitchen.arch} on this machine in one go",
            hint="leave out `--bootstrap debootstrap`; Oven's own bootstrap can",
        )
    if kitchen.extras != ALL:
        raise RecipeError(
            "debootstrap unpacks documentation and translations, which the recipe leaves out",
            hint="leave out `--bootstrap debootstrap`; Oven's own bootstrap can",
        )
    repository = kitchen.draft / "repository"
    _lay_out(packages, repository, kitchen)
    script = kitchen.draft / "suite"
    script.write_text(_script(packages))
    command = Command(
        (
            "debootstrap", "--variant=minbase", f"--arch={kitchen.arch}", "--merged-usr",
            # Trust has been settled before: a lock is made from signed indexes, and what is in the
            # store under a sha256 of the lock is that very file.
            "--no-check-gpg",
            "--no-resolve-deps",
            kitchen.suite, str(kitchen.tree), f"file://{repository}", str(script),
        ),
        env={"SOURCE_DATE_EPOCH": str(kitchen.epoch)},
    )  # fmt: skip
    done = secluded(command)
    if done.code != 0:
        error = failed(command, done, "debootstrap failed")
        error.output += _log(kitchen.tree)
        raise error
    _tidy(kitchen.tree)


def _log(root: Path) -> str:
    """Give what debootstrap has noted; packages may have put anything in its place."""
    with contextlib.suppress(OSError), TreeIO(root) as tree:
        return tree.read_bytes("debootstrap/debootstrap.log", 16 << 20).decode(errors="replace")
    return ""


def _script(packages: Sequence[UnpackedPackage]) -> str:
    """Write the suite's script: the one for current Debian, told which packages there are.

    `required` is what debootstrap installs first, all by force; `base` is the rest.
    """
    seeds = [one for one in packages if one.essential or one.fields.get("priority") == "required"]
    required = closure(seeds, packages)
    base = [package for package in packages if package not in required]
    return (
        f". {SCRIPT}\n"
        "work_out_debs () {\n"
        f"required='{' '.join(package.name for package in required)}'\n"
        f"base='{' '.join(package.name for package in base)}'\n"
        "}\n"
    )


def _lay_out(packages: Sequence[UnpackedPackage], repository: Path, kitchen: Kitchen) -> None:
    """Make a repository with one suite and one component (DebianRepository/Format)."""
    pool, suite = repository / "pool", kitchen.suite
    index_name = f"main/binary-{kitchen.arch}/Packages"
    index_file = repository / "dists" / suite / index_name
    pool.mkdir(parents=True)
    index_file.parent.mkdir(parents=True)
    stanzas = []
    for package in packages:
        name = f"{package.name}_{package.arch}.deb"
        locked = package.expanded.package
        os.link(blob_of(locked, kitchen.store), pool / name)
        file = f"Filename: pool/{name}\nSize: {locked.size}\nSHA256: {locked.sha256}"
        stanzas.append(f"{package.text}\n{file}\n\n")
    index = "".join(stanzas).encode()
    index_file.write_bytes(index)
    checksum = f" {hashlib.sha256(index).hexdigest()} {len(index)} {index_name}"
    release = (
        f"Suite: {suite}\nCodename: {suite}\nArchitectures: {kitchen.arch}\nComponents: main\n"
        f"SHA256:\n{checksum}\n"
    )
    (repository / "dists" / suite / "Release").write_text(release)


def _tidy(root: Path) -> None:
    with TreeIO(root) as tree:
        for path in LEFTOVERS:
            tree.remove(path)
