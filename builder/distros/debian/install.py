"""Installs a lock's packages into a Debian tree with the tree's own apt, from files, offline."""

import os
import re
from pathlib import Path

from builder.host.process import Command, failed
from builder.host.sandbox import Inside
from builder.model.errors import StageError
from builder.model.lock import Package
from builder.store import Store

# apt, not `dpkg --install`: it knows in which order packages have to be unpacked and configured
# when some need others to be whole before (Pre-Depends). It is given every file that the lock names
# and can reach nothing else, so it has nothing to decide.

DEBS = "/run/oven/debs"
"""Where the sandbox shows the package files."""

CONFIGURATION = """\
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
// _apt may not be able to read the files.
APT::Sandbox::User "root";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dpkg::Use-Pty "false";
// A file that an overlay has put there is the author's answer to dpkg's question.
DPkg::Options { "--force-confdef"; "--force-confold"; "--force-unsafe-io"; };
"""
"""apt.conf(5), on top of the tree's own."""

STAND_INS = {
    # invoke-rc.d(8): 101 means that policy forbids to start a service.
    "usr/sbin/policy-rc.d": b"#!/bin/sh\nexit 101\n",
    # Maintainer scripts, such as postfix's, fail when the host has no name that can be resolved.
    "etc/hostname": b"oven\n",
    "etc/hosts": b"127.0.0.1 localhost\n127.0.1.1 oven.localdomain oven\n::1 localhost\n",
}
"""Files that are seen while a tree is worked on, and are no part of it."""


def lay_out(packages: tuple[Package, ...], store: Store, folder: Path) -> None:
    """Link the package files into a folder under the names that the archive gives them."""
    for package in packages:
        blob = store.blob(package.sha256)
        if blob is None:
            raise StageError(
                f"the package file of `{package.name}` is no longer in the store",
                hint="run the same command again",
            )
        os.link(blob, folder / Path(package.path).name)
    (folder / "apt.conf").write_text(CONFIGURATION)


def install(packages: tuple[Package, ...], run: Inside) -> None:
    """Install packages whose files lie in `DEBS`; only those asked for count as such."""
    if not packages:
        return
    # A pattern, so that the command can be pasted; `--no-download` breaks local files in apt 2.6.
    line = f"exec apt-get -c {DEBS}/apt.conf install {DEBS}/*.deb"
    command = Command(("sh", "-c", line))
    done = run(command)
    if done.code != 0:
        error = failed(command, done, _problem(done.output))
        error.command = run.paste(command)
        raise error
    dependencies = [package.name for package in packages if not package.requested]
    if dependencies:
        run.require(Command(("apt-mark", "auto", *dependencies)))


def _problem(output: str) -> str:
    """Name the first package that dpkg complains about."""
    broken = re.search(r"error processing (?:package|archive) (\S+)", output)
    if broken is None:
        return "the packages could not be installed"
    return f"the package `{Path(broken[1]).name}` could not be installed"
