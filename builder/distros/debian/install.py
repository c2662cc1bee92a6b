"""Installs a lock's packages into a Debian tree with the tree's own apt, from files, offline."""

import re
from pathlib import Path

from builder.distros.buildroot import PACKAGES, Kitchen, lay_out, opened
from builder.distros.debian.package.batches import all_plain
from builder.distros.debian.package.unpack import files_read
from builder.host.programs import Command, failed, tell_output
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import StageError
from builder.model.lock import Package

# apt, not `dpkg --install`: it knows in which order packages have to be unpacked and configured
# when some need others to be whole before (Pre-Depends). It is given every file that the lock names
# and can reach nothing else, so it has nothing to decide. Plain packages need no order.

MARKS = "var/lib/apt/extended_states"
_LARGE = 16 << 20

# A file that an overlay has put there is the author's answer to dpkg's question.
_OPTIONS = "--force-confdef --force-confold --force-unsafe-io"

CONFIGURATION = f"""\
APT::Get::Assume-Yes "true";
// Nothing of what a recipe removes stays.
APT::Get::Purge "true";
APT::Install-Recommends "false";
// _apt may not be able to read the files.
APT::Sandbox::User "root";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dpkg::Use-Pty "false";
DPkg::Options {{ {" ".join(f'"{option}";' for option in _OPTIONS.split())} }};
"""
"""apt.conf(5), on top of the tree's own."""


def install(packages: tuple[Package, ...], base: Path, kitchen: Kitchen) -> None:
    """Install packages on a tree; only those asked for count as such."""
    bind = lay_out(packages, kitchen)
    (bind.source / "apt.conf").write_text(CONFIGURATION)
    foreign = sorted({one.arch for one in packages} - {"all", kitchen.arch})
    # A pattern, so that it can be pasted.
    files = [f"{PACKAGES}/*.deb"] if packages else []
    if not foreign and not kitchen.removed and all_plain(packages, kitchen.store):
        # Nothing to order, and dpkg alone takes a fifth of the time for a small package.
        # One that breaks an older version of another may come before that.
        words = f"{_OPTIONS} --auto-deconfigure --log=/dev/null"
        line = f"exec dpkg {words} --install {PACKAGES}/*.deb"
    else:
        # `--no-download` breaks local files in apt 2.6.
        words = " ".join((*files, *(f"{name}-" for name in kitchen.removed)))
        line = f"exec apt-get -c {PACKAGES}/apt.conf install {words}"
        line = "".join(f"dpkg --add-architecture {arch} && " for arch in foreign) + line
    with opened(base, kitchen, bind) as (view, run):
        with files_read(packages, kitchen.store) as watch:
            command = Command(("sh", "-c", line), watch=watch)
            done = run(command)
        if done.code != 0:
            error = failed(command, done, _problem(done.output))
            error.command = run.paste(command)
            raise error
        tell_output(done.output)
        with TreeIO(view) as tree:
            try:
                mark_automatic(packages, kitchen.arch, tree)
            except OSError as problem:
                if problem.errno not in TREES_FAULT:
                    raise
                raise StageError(
                    f"something else is in the place of `/{MARKS}`", output=str(problem)
                ) from problem


def mark_automatic(packages: tuple[Package, ...], arch: str, tree: TreeIO) -> None:
    """Tell apt which packages nobody has asked for, as `apt-mark auto` does (apt-mark(8)).

    The order is always the same, whatever came first.
    """
    known = tree.read_bytes(MARKS, _LARGE).decode(errors="replace") if tree.is_file(MARKS) else ""
    marks = {part.strip() for part in known.split("\n\n") if part.strip()}
    marks |= {
        f"Package: {package.name}\n"
        f"Architecture: {arch if package.arch == 'all' else package.arch}\n"
        "Auto-Installed: 1"
        for package in packages
        if not package.requested
    }
    if marks:
        tree.write_bytes(MARKS, "".join(f"{mark}\n\n" for mark in sorted(marks)).encode())


def _problem(output: str) -> str:
    """Name the first package that dpkg complains about."""
    broken = re.search(r"error processing (?:package|archive) (\S+)", output)
    if broken is None:
        return "the packages could not be installed"
    return f"the package `{Path(broken[1]).name}` could not be installed"
