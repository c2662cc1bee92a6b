"""Installs a lock's packages into a Debian tree with the tree's own apt, from files, offline."""

import re
from pathlib import Path

from builder.distros.kitchen import PACKAGES, Kitchen, lay_out, opened
from builder.host.process import Command, failed
from builder.model.lock import Package

# apt, not `dpkg --install`: it knows in which order packages have to be unpacked and configured
# when some need others to be whole before (Pre-Depends). It is given every file that the lock names
# and can reach nothing else, so it has nothing to decide.

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


def install(packages: tuple[Package, ...], base: Path, kitchen: Kitchen) -> None:
    """Install packages on a tree; only those asked for count as such."""
    bind = lay_out(packages, kitchen)
    (bind.source / "apt.conf").write_text(CONFIGURATION)
    with opened(base, kitchen, bind) as (_, run):
        # A pattern, so that it can be pasted; `--no-download` breaks local files in apt 2.6.
        line = f"exec apt-get -c {PACKAGES}/apt.conf install {PACKAGES}/*.deb"
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
