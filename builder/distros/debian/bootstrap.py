"""The native bootstrap: a base tree from packages that are linked, not unpacked."""

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from builder.distros.buildroot import Kitchen, opened
from builder.distros.debian.database import (
    ADMIN,
    UnpackedPackage,
    check_database,
    create_database,
    diversions,
    essentials,
    judging,
    not_installed,
    overridden,
    preinst_order,
    write_database,
)
from builder.distros.debian.debootstrap import debootstrap
from builder.distros.debian.filters import FILE, Filter, configuration, filters, skips
from builder.distros.debian.link import (
    UnlinkableError,
    link_packages,
    merge_usr,
    refuse_ways_out,
)
from builder.distros.debian.package.unpack import blob_of, expand, expand_one
from builder.host.overlayfs.fold import apply_upper
from builder.host.programs import Command, tell_output
from builder.host.sandbox.sandbox import Inside, SandboxBind
from builder.host.trees.links import own_files
from builder.host.trees.removal import remove_tree
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import StageError
from builder.model.lock import BASE, Package
from builder.store import Store

# dpkg does two things for a package that take time: it writes the files, and it runs the scripts.
# The files are in the store already, so the tree is made of hard links, and dpkg is told that it
# has unpacked them. Then it configures everything, in an overlay, because scripts change files in
# place that other trees share.
#
# Essential packages come first, as Policy 3.8 wants: any script of the others may use them. When
# something shows that the files would have come to lie elsewhere had dpkg laid them (a diversion
# made by a preinst, a path that two packages have), dpkg does it all after all: see `_by_dpkg`.

DEBS = "/mnt"
"""Where the sandbox shows package files, if dpkg has to unpack them; base-files has the folder."""


def unpack_early(package: Package, store: Store) -> None:
    """Take a package apart that a bootstrap will want so."""
    if package.layer == BASE:
        expand_one(package, store)


def bootstrap(packages: Sequence[Package], kitchen: Kitchen) -> None:
    """Make `kitchen.tree` of packages that depend on nothing else."""
    expanded = expand(packages, kitchen.store, jobs=kitchen.jobs)
    unpacked = [UnpackedPackage(package) for package in expanded]
    if kitchen.driver == "debootstrap":
        refuse_ways_out(unpacked)
        debootstrap(unpacked, kitchen)
    else:
        _bootstrap(unpacked, kitchen)
    with TreeIO(kitchen.tree) as tree:
        _check_installed(tree)


def _bootstrap(packages: Sequence[UnpackedPackage], kitchen: Kitchen) -> None:
    try:
        with naming_the_package():
            _linked(packages, kitchen)
    except UnlinkableError:
        for name in ("tree", "upper", "work", "over", "view"):
            remove_tree(kitchen.draft / name)
        with naming_the_package():
            _by_dpkg(packages, kitchen)


@contextmanager
def naming_the_package() -> Iterator[None]:
    """Have an error name the package that dpkg complains about first, if it does."""
    try:
        yield
    except StageError as error:
        if broken := re.search(r"error processing (?:package|archive) (\S+)", error.output):
            error.problem = f"the package `{Path(broken[1]).name}` could not be installed"
        raise


def _linked(packages: Sequence[UnpackedPackage], kitchen: Kitchen) -> None:
    chosen = filters(kitchen.extras)
    link_packages(packages, kitchen.tree, kitchen.arch, chosen)
    with TreeIO(kitchen.tree) as tree:
        write_database(packages, tree)
        _tell_dpkg(chosen, tree)
        _lay_shell(tree)
    own_files(kitchen.tree)
    essential = essentials(packages)
    others = [package for package in packages if package not in essential]
    with _opened(kitchen) as (path, run), TreeIO(path) as view:
        _run_preinsts(essential, packages, view, run)
        names = [package.known_as for package in essential]
        _told(run, _dpkg("--no-triggers", "--configure", *names), _PROBLEM)
        _run_preinsts(others, others, view, run)
        _activate(essential, others, run)
        _told(run, _dpkg("--configure", "--pending"), _PROBLEM)


_PROBLEM = "the base packages could not be configured"


@contextmanager
def _opened(kitchen: Kitchen, *binds: SandboxBind) -> Iterator[tuple[Path, Inside]]:
    """Show the tree with an empty layer on top; what lands in that becomes part of the tree."""
    with opened(kitchen.tree, kitchen, *binds) as view_and_run:
        yield view_and_run
    # The tree is this bootstrap's own draft, so it need not be linked once more as `fold` does.
    apply_upper(kitchen.upper, kitchen.tree)


def _told(run: Inside, command: Command, problem: str) -> None:
    """Run what configures packages; their scripts may have something to say."""
    tell_output(run.require(command, problem).output)


def _dpkg(*arguments: str) -> Command:
    # Its log holds the time of the build. The sandbox drops what it syncs.
    return Command(("dpkg", "--log=/dev/null", *arguments))


def _tell_dpkg(chosen: Sequence[Filter], tree: TreeIO) -> None:
    """Have the tree's dpkg keep to the filters, now and wherever the template is used."""
    if chosen:
        tree.mkdir(FILE.rpartition("/")[0])
        tree.write_bytes(FILE, configuration(chosen).encode())


def _lay_shell(tree: TreeIO) -> None:
    """Make /bin/sh in suites whose dash makes it only when it is configured (until bullseye)."""
    if not tree.exists("usr/bin/sh"):
        tree.symlink("usr/bin/sh", "dash")


def _run_preinsts(
    packages: Sequence[UnpackedPackage],
    coming: Sequence[UnpackedPackage],
    view: TreeIO,
    run: Inside,
) -> None:
    """Run what dpkg runs before it unpacks; `coming` are packages whose files may be affected."""
    check_database(view, _SOME_SCRIPT)
    with judging(_SOME_SCRIPT):
        before = diversions(view)
    # Where dpkg has the control files of a package that it is about to unpack. debconf looks into
    # this very folder to learn whose questions a preinst asks.
    place = f"{ADMIN}/tmp.ci"
    for package in preinst_order(packages):
        if (package.expanded.control / "preinst").exists():
            culprit = f"the preinst script of `{package.name}`"
            view.remove(place)
            _copy_files(package.expanded.control, view, place)
            run.require(
                Command((f"/{ADMIN}/tmp.ci/preinst", "install"), env=_script_environment(package)),
                f"{culprit} failed",
            )
            check_database(view, culprit)
            view.remove(place)
    with judging(_SOME_SCRIPT):
        _check_diversions(before, coming, view)
        changed = overridden(view)
    for package in coming:
        if changed & set(package.paths):
            raise UnlinkableError(f"files of {package.name} get other modes than it says")


_SOME_SCRIPT = "some maintainer script"


def _copy_files(source: Path, tree: TreeIO, place: str) -> None:
    tree.mkdir(place)
    for path in source.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        tree.write_bytes(f"{place}/{path.name}", path.read_bytes(), mode)


def _script_environment(package: UnpackedPackage) -> dict[str, str]:
    """Give what dpkg tells a maintainer script (dpkg(1), internal environment)."""
    return {
        "DPKG_MAINTSCRIPT_PACKAGE": package.name,
        "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT": "1",
        "DPKG_MAINTSCRIPT_ARCH": package.arch,
        "DPKG_MAINTSCRIPT_NAME": "preinst",
        "DPKG_ADMINDIR": f"/{ADMIN}",
        "DPKG_ROOT": "",
    }


def _check_diversions(
    before: list[tuple[str, str, str]], coming: Sequence[UnpackedPackage], view: TreeIO
) -> None:
    """See that no diversion would have laid a file elsewhere.

    Since trixie, libc6 and base-files divert paths that no package has any more, to protect the
    links into /usr; that changes nothing.
    """
    now = diversions(view)
    diverted = {path: by for path, _, by in now}
    for package in coming:
        for path in diverted.keys() & set(package.paths):
            if diverted[path] != package.name:
                raise UnlinkableError(f"{diverted[path]} diverts {path} of {package.name}")
    for path, moved_to, by in now:
        if (path, moved_to, by) not in before and view.exists(moved_to):
            raise UnlinkableError(f"the preinst of {by} has moved {path}")


def _activate(
    done: Sequence[UnpackedPackage], coming: Sequence[UnpackedPackage], run: Inside
) -> None:
    """Tell configured packages of files that have come since, as unpacking would have done."""
    paths = [path for package in coming for path in package.paths]
    for trigger in (one for package in done for one in package.triggers()):
        below = trigger.name.rstrip("/") + "/"
        if any(path == trigger.name or path.startswith(below) for path in paths):
            by = f"--by-package={trigger.package}"
            run.require(Command(("dpkg-trigger", "--no-await", by, trigger.name)))


def _by_dpkg(packages: Sequence[UnpackedPackage], kitchen: Kitchen) -> None:
    """Let dpkg unpack and configure everything, once there is enough for it to run.

    The essential packages are laid down first, one over the other, for dpkg to run in; it then
    unpacks them again, as debootstrap and mmdebstrap have it do.
    """
    essential, chosen = essentials(packages), filters(kitchen.extras)
    kitchen.tree.mkdir()
    with TreeIO(kitchen.tree) as tree:
        merge_usr(tree, kitchen.arch)
        create_database(tree)
        for package in sorted(essential, key=lambda one: (one.name != "base-files", one.name)):
            _lay_over(package, tree, chosen)
        check_database(tree, "a package")
        _tell_dpkg(chosen, tree)
        _lay_shell(tree)
    own_files(kitchen.tree)
    debs = kitchen.draft / "debs"
    debs.mkdir()
    for package in packages:
        os.link(blob_of(package.expanded.package, kitchen.store), debs / f"{package.name}.deb")
    others = [package for package in packages if package not in essential]
    with _opened(kitchen, SandboxBind(debs, DEBS)) as (_, run):
        # dpkg looks up owners by name, and base-passwd makes them.
        first = [package for package in essential if package.name == "base-passwd"]
        for some in (first, preinst_order(essential), preinst_order(others)):
            files = [f"{DEBS}/{package.name}.deb" for package in some]
            if files:
                _told(run, _dpkg("--force-depends", "--unpack", *files), _PROBLEM)
                _told(run, _dpkg("--force-depends", "--configure", "--pending"), _PROBLEM)


def _lay_over(package: UnpackedPackage, tree: TreeIO, chosen: Sequence[Filter]) -> None:
    """Link all files of a package into a tree, following links to folders there."""
    path = ""
    try:
        with TreeIO(package.expanded.root) as source:
            for path, status in source.walk():
                whole = not (stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode))
                if skips(chosen, f"/{path}", whole=whole):
                    continue
                if stat.S_ISDIR(status.st_mode):
                    if not tree.is_dir(path):
                        owner = (status.st_uid, status.st_gid)
                        tree.mkdir(path, stat.S_IMODE(status.st_mode), owner)
                elif not tree.is_dir(path):
                    _link_over(source, tree, path)
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
        raise StageError(
            f"the files of the package `{package.name}` cannot be laid into the tree",
            output=f"`/{path}`: {error.strerror}",
            hint="another package has put something else into their place",
        ) from error


def _link_over(source: TreeIO, tree: TreeIO, path: str) -> None:
    with source.entry(path) as (from_, name), tree.entry(path) as (to, _):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=to)
        os.link(name, name, src_dir_fd=from_, dst_dir_fd=to, follow_symlinks=False)


def _check_installed(tree: TreeIO) -> None:
    """Raise StageError unless dpkg holds every package for installed."""
    check_database(tree, _SOME_SCRIPT)
    with judging(_SOME_SCRIPT):
        broken = not_installed(tree)
    if broken:
        raise StageError("dpkg left packages that are not installed", output="\n".join(broken))
