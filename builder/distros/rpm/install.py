"""Installs a lock's packages into a tree with the host's dnf and rpm, from files, offline."""

import re
from pathlib import Path

from builder.distros.buildroot import Kitchen, lay_out, opened
from builder.distros.openpgp import armored
from builder.distros.rpm.declaration import MACHINES
from builder.distros.rpm.dnf import MACROS, MAIN
from builder.distros.rpm.extras import lay_macros, macros, macros_in
from builder.distros.rpm.keys import pinned_keys
from builder.host.programs import (
    Command,
    Done,
    failed,
    find_program,
    missing_program,
    on_host,
    tell_output,
)
from builder.host.sandbox.sandbox import Inside, Sandbox, SandboxBind, inside
from builder.host.trees.treeio import TreeIO
from builder.model.errors import StageError, TrustError
from builder.model.lock import Package
from builder.model.recipe import Arch

# The host's programs, because a tree that is made from nothing has none, and because they are the
# same for each layer then. They run in a sandbox that can write to nothing but the tree and a
# folder of their own; rpm runs scriptlets chrooted into the tree. Every package must be signed
# with a key that the tree's rpm knows, which are those that were pinned when the base was made.

STATE = "/run/oven/dnf"
"""What dnf writes; dnf 4 puts the tree's path before it, and both ways it is gone afterwards."""

_OF_DNF = ("etc/dnf/modules.d", "etc/dnf")

_SCRIPTLET = re.compile(r"^(?:warning|error): (%\w+)\((\S+)\) scriptlet failed[^\n]*", re.MULTILINE)
_SECTIONS = {"%prein": "%pre", "%postin": "%post"}
"""What a spec file calls those that rpm calls otherwise."""
_MOUNTED = {"dev": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555}


def install(packages: tuple[Package, ...], kitchen: Kitchen, *, database: str) -> None:
    """Install packages on `kitchen.base`, or make a tree of them.

    `database` is where rpm keeps its database in the tree.
    """
    for program in ("rpm", "dnf"):
        if find_program(program) is None:
            raise missing_program(program)
    lay_out(packages, kitchen)
    set_up = MACROS.format(database=database)
    if kitchen.base is not None:
        with TreeIO(kitchen.base) as base:
            set_up += macros_in(base)
        with opened(kitchen.base, kitchen) as (view, _):
            _install(packages, view, kitchen, set_up)
        return
    kitchen.tree.mkdir(mode=0o755)
    for name, mode in _MOUNTED.items():
        (kitchen.tree / name).mkdir()
        (kitchen.tree / name).chmod(mode)
    left_out = macros(kitchen.extras)
    _install(packages, kitchen.tree, kitchen, set_up + left_out)
    with TreeIO(kitchen.tree) as tree:
        lay_macros(left_out, tree)


def _install(packages: tuple[Package, ...], root: Path, kitchen: Kitchen, set_up: str) -> None:
    folder = kitchen.draft / "dnf"
    (folder / "home").mkdir(parents=True)
    main = MAIN.format(state=STATE)
    if any(package.archive in kitchen.added for package in packages):
        # The tree's rpm knows nothing of their keys, and must not: see `_check_added`.
        set_up = set_up.replace("_pkgverify_level all", "_pkgverify_level digest")
        main = main.replace("gpgcheck=1", "gpgcheck=0")
    (folder / "home/.rpmmacros").write_text(set_up)
    (folder / "dnf.conf").write_text(main)
    run = _sandbox(root, folder, kitchen)
    if kitchen.keys is not None and kitchen.base is None:
        (folder / "key.asc").write_text(pinned_keys(kitchen.keys, folder, on_host))
        run.require(_rpm("rpmkeys", root, "--import", str(folder / "key.asc")))
    names = {Path(package.path).name: package for package in packages}
    files = [str(kitchen.draft / "packages" / name) for name in sorted(names)]
    _check_all(names, kitchen, folder, root, run)
    command = Command(
        (
            "dnf", "--assumeyes", "--cacheonly", f"--config={folder}/dnf.conf",
            f"--installroot={root}", f"--releasever={kitchen.suite}",
            f"--forcearch={MACHINES[Arch(kitchen.arch)]}", "install", *files,
        )
    )  # fmt: skip
    done = run(command)
    if problem := _problem(done):
        error = failed(command, done, problem)
        error.command = run.paste(command)
        raise error
    tell_output(done.output)
    _check_installed(packages, root, run)
    _tidy(root, run)


def _sandbox(root: Path, folder: Path, kitchen: Kitchen) -> Inside:
    env = {
        "HOME": str(folder / "home"),
        # Dnf hands rpm the packages in the order of a Python set.
        "PYTHONHASHSEED": "0",
    }
    binds = tuple(SandboxBind(path, str(path)) for path in (folder, kitchen.draft / "packages"))
    arch = Arch(kitchen.arch)
    return inside(Sandbox(root, binds, epoch=kitchen.epoch, env=env, arch=arch, from_host=True))


def _rpm(program: str, root: Path, *argv: str) -> Command:
    return Command((program, "--root", str(root), *argv))


def _check_all(
    names: dict[str, Package], kitchen: Kitchen, folder: Path, root: Path, run: Inside
) -> None:
    """Check each package with the keys of its own archive."""
    for archive in ("", *sorted(kitchen.added)):
        some = {
            name: one
            for name, one in sorted(names.items())
            if archive == (one.archive if one.archive in kitchen.added else "")
        }
        files = [str(kitchen.draft / "packages" / name) for name in some]
        if archive:
            key = folder / f"{archive}.asc"
            key.write_bytes(armored(kitchen.added[archive]))
            _check_added(key, files, some, run)
        elif files:
            _check_signatures(files, some, root, run)


def _check_signatures(files: list[str], names: dict[str, Package], root: Path, run: Inside) -> None:
    """Raise TrustError unless a key that the tree knows has signed every package."""
    _check_said(run(_rpm("rpmkeys", root, "--checksig", *files)), names)


def _check_added(key: Path, files: list[str], names: dict[str, Package], run: Inside) -> None:
    """Raise TrustError unless a repository's own key has signed its packages."""
    script = (
        'set -e; key=$1; shift; rpmkeys --dbpath=/run/oven/keys --import "$key";'
        ' exec rpmkeys --dbpath=/run/oven/keys --checksig "$@"'
    )
    _check_said(run(Command(("sh", "-c", script, "sh", str(key), *files))), names)


def _check_said(done: Done, names: dict[str, Package]) -> None:
    good = {
        Path(line.rpartition(": ")[0]).name
        for line in done.output.splitlines()
        if line.endswith(": digests signatures OK")
    }
    for name in sorted(names):
        if name not in good:
            raise TrustError(
                f"the package `{names[name].name}` is not signed with a key that is trusted",
                hint="the mirror is broken or forged, or the keyring is not the one for it",
            )


def _problem(done: Done) -> str | None:
    """Say what went wrong; rpm goes on when most scriptlets fail, and so does dnf."""
    if broken := _SCRIPTLET.search(done.output):
        section = _SECTIONS.get(broken[1], broken[1])
        return f"the `{section}` scriptlet of the package `{broken[2]}` failed"
    if done.code == 0:
        return None
    if broken := re.search(
        r"^error: unpacking of archive failed[^:]*: (.*)", done.output, re.MULTILINE
    ):
        return f"a package could not be unpacked: {broken[1]}"
    return "the packages could not be installed"


def _check_installed(packages: tuple[Package, ...], root: Path, run: Inside) -> None:
    """Raise StageError unless rpm has every package that was to be installed."""
    shown = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH}\\n"
    done = run.require(_rpm("rpm", root, "--query", "--all", "--queryformat", shown))
    there = set(done.stdout.decode(errors="replace").splitlines())
    missing = [
        line for one in packages if (line := f"{one.name} {one.version} {one.arch}") not in there
    ]
    if missing:
        raise StageError("dnf left packages that are not installed", output="\n".join(missing))


def _tidy(root: Path, run: Inside) -> None:
    """Remove the folders that dnf 4 makes wherever it works, unless a package has them."""
    for folder in _OF_DNF:
        alone = run(_rpm("rpm", root, "--query", "--file", f"/{folder}")).code != 0
        with TreeIO(root) as tree:
            if alone and tree.is_dir(folder) and not tree.listdir(folder):
                tree.remove(folder)
