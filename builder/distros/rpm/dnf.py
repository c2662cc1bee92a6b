"""Dnf as a solver: private folders, verified metadata in, packages out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.distros import UnknownPackageError
from builder.distros.rpm.declaration import MACHINES, Declaration, Repository
from builder.distros.rpm.metadata import Metadata, RpmEntry
from builder.host.network.downloads import proxy_environment
from builder.host.programs import Command, Done, check, find_program, is_full, missing_program
from builder.host.sandbox.sandbox import Sandbox, SandboxBind, inside
from builder.host.trees.durable import replace
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError, OvenError, RecipeError, TrustError, UpstreamError
from builder.model.lock import Asked, AskedRepository

# Dnf chooses for the folder `root`, in which the packages of the layers below are said to be
# installed, in the same words that their repositories use. It is told to stop before it would
# download them, and its answer is the table that it shows to people, which dnf 4 and dnf 5 write
# alike; each row must be a package that the metadata has, and the rows as many as dnf counts.

# What strangers sign, or nobody does, is read by dnf in a sandbox of its own, which has the network
# and may write to one folder; of the host it sees nothing but programs. The agents of gpg that dnf
# starts to check signatures, and never ends, end with it.

STATE = "/var/cache/oven"
"""Where dnf keeps what it fetches, in the folder that is its root."""

PYTHON = "/usr/bin/python3"
HEADERS = Path(__file__).parent / "headers.py"

MAIN = """\
[main]
cachedir={state}/cache
logdir={state}/log
persistdir={state}/persist
reposdir={state}/none
varsdir={state}/none
plugins=0
gpgcheck=1
localpkg_gpgcheck=1
best=1
strict=1
skip_if_unavailable=0
install_weak_deps=0
deltarpm=0
zchunk=0
countme=0
retries=2
timeout=15
exclude=*.i?86
"""
"""dnf.conf(5); nothing of the host's is read. Of another machine word there is nothing to run."""

REPOSITORY = """
[{name}]
name={name}
{source}
gpgkey=file://{key}
repo_gpgcheck={signed}
"""

ADDED = """
[{name}]
name={name}
baseurl={urls}
gpgkey=file://{key}
repo_gpgcheck=1
"""
"""A recipe's repository: how its packages are signed says nothing of which of them there are."""

MACROS = """\
%_dbpath {database}
%_pkgverify_level all
%__plugindir /nonexistent
%_netsharedpath /proc:/sys:/dev
"""
"""For rpm, in the home folder: its own defaults are this host's, not the tree's. No package without
a good signature and digest is taken; what is mounted while scriptlets run is left alone."""

_ROW = re.compile(
    r"^ (\S+)\s+(\S+)\s+((?:\d+:)?[^\s:]+-[^\s:-]+)\s+(\S+)\s+[\d.]+ *[kKMGTB]?i?B?$", re.MULTILINE
)
_SECTION = re.compile(r"^([A-Z][^\n]*):$\n((?:^ [^\n]*\n)*)", re.MULTILINE)
_COUNT = re.compile(r"^ *Install(?:ing:)? +(\d+) [Pp]ackages?", re.MULTILINE)
_UNKNOWN = re.compile(
    r"^(?:No match for argument: (\S+)|Module or Group '([^'\n]+)' is not available)",
    re.MULTILINE,
)
_NO_MORE = re.compile(r"^Transaction Summary\n=*\n*(?:Operation aborted|\Z)", re.MULTILINE)
"""A group of which all is there: it would only be noted."""
_NOISE = re.compile(r"^(Last metadata expiration|Dependencies resolved|\(try to add|\s*$)")


@dataclass(frozen=True, slots=True)
class ChosenPackage:
    """A row of dnf's table."""

    name: str
    arch: str
    version: str
    repository: str
    of_group: bool = False
    """Whether a group has it, and so whoever asked for that."""


@dataclass(frozen=True, slots=True)
class AddedMirrors:
    """A repository that a recipe has added."""

    asked: AskedRepository
    urls: tuple[str, ...]
    keys: bytes
    """Armored."""


class Dnf:
    """A dnf of our own for one release and machine; the host's is neither read nor touched."""

    def __init__(
        self,
        folder: Path,
        declaration: Declaration,
        asked: Asked,
        added: Sequence[AddedMirrors] = (),
    ) -> None:
        self._added = added
        self.hidden: frozenset[str] = frozenset()
        """Repositories that are not to be chosen from."""
        self.unwanted: frozenset[str] = frozenset()
        """Names of packages that are not to come."""
        self._folder = folder
        self._declaration = declaration
        self._asked = asked
        self._root = folder / "root"
        self.without: tuple[tuple[str, str, str], ...] = ()
        """Packages that are not to be chosen, by name, version and architecture."""
        for path in (self._root, folder / "home"):
            path.mkdir(parents=True, exist_ok=True)
        macros = MACROS.format(database=declaration.suites[asked.suite].database)
        replace(folder / "home/.rpmmacros", macros.encode())
        shown = (SandboxBind(path, str(path)) for path in (folder, HEADERS))
        binds = (*shown, SandboxBind(self._root, str(self._root), writable=True))
        self.run = inside(Sandbox(self._root, binds, network=True, from_host=True))
        """How programs are run that read what repositories say."""

    @property
    def has_metadata(self) -> bool:
        """Whether some has been fetched before."""
        return (self._folder / "dnf.conf").is_file()

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The repositories that the asking wants."""
        own = self._declaration.repositories
        return tuple(one for one in own if one.component in self._wanted)

    @property
    def added(self) -> tuple[str, ...]:
        """The names of repositories that recipes have added."""
        return tuple(one.asked.name for one in self._added)

    @property
    def _wanted(self) -> tuple[str, ...]:
        return self._asked.components

    def filled(self, text: str) -> str:
        """Put the release and the machine into one of the declaration's texts."""
        return text.format(suite=self._asked.suite, machine=MACHINES[self._asked.arch])

    def update(self, mirrors: Sequence[str], key: str) -> None:
        """Fetch the metadata, or only what changed; `key` are armored keys.

        Raises TrustError for a bad signature and UpstreamError for all else.
        """
        replace(self._folder / "key.asc", key.encode())
        parts = [MAIN.format(state=STATE)]
        if self._declaration.module_platform:
            parts.append(f"module_platform_id={self.filled(self._declaration.module_platform)}\n")
        vouched = tuple(mirrors) == (self._declaration.mirror,)
        for one in self.repositories:
            urls = " ".join(f"{mirror}/{self.filled(one.path)}/" for mirror in mirrors)
            by_metalink = vouched and one.metalink
            parts.append(
                REPOSITORY.format(
                    name=one.name,
                    source=f"metalink={self.filled(one.metalink)}"
                    if by_metalink
                    else f"baseurl={urls}",
                    key=self._folder / "key.asc",
                    signed=int(self._declaration.signed),
                )
            )
        for more in self._added:
            key_file = self._folder / f"{more.asked.name}.asc"
            replace(key_file, more.keys)
            urls = " ".join(f"{url}/" for url in more.urls)
            parts.append(ADDED.format(name=more.asked.name, urls=urls, key=key_file))
            if more.asked.priority is not None:
                parts.append(f"priority={more.asked.priority}\n")
        replace(self._folder / "dnf.conf", "".join(parts).encode())
        done = self._dnf("--assumeyes", "--refresh", "makecache")
        if done.code != 0:
            raise _update_error(done, self._declaration)

    def metadata(self) -> dict[str, Metadata]:
        """Read the metadata of each repository, by its name."""
        found = {}
        for name in (*(one.name for one in self.repositories), *self.added):
            pattern = f"{name}-{'[0-9a-f]' * 16}/repodata/repomd.xml"
            folders = sorted(self._root.rglob(pattern))
            if not folders:
                raise UpstreamError(f"dnf has not fetched the repository `{name}`")
            newest = max(folders, key=lambda path: path.stat().st_mtime_ns)
            found[name] = Metadata(newest.parent.parent)
        return found

    def install(
        self, names: Sequence[str], *, on: Iterable[RpmEntry] = (), recommends: bool = False
    ) -> list[ChosenPackage]:
        """Choose what to install so that `names` and their needs are there.

        `on` are the packages that are there already, which stay as they are.
        """
        self._write_installed(tuple(on))
        weak = f"--setopt=install_weak_deps={int(recommends)}"
        asking = ("--cacheonly", weak, *self._left_out(), "--assumeno", "install", "--", *names)
        done = self._dnf(*asking)
        text = done.output
        if unknown := _UNKNOWN.search(text):
            name = unknown[1] or f"@{unknown[2]}"
            raise UnknownPackageError(name, f"there is no package `{name}`")
        if "Nothing to do" in text or _NO_MORE.search(text):
            return []
        if not (count := _COUNT.search(text)):
            raise _unsatisfiable(names, done)
        sections = dict(_SECTION.findall(text))
        _refuse_replacing(names, sections)
        chosen = [
            ChosenPackage(
                name, arch, version, repository, of_group=title.startswith("Installing group")
            )
            for title, body in sections.items()
            if title.startswith("Install")
            for name, arch, version, repository in _ROW.findall(_unwrapped(body))
        ]
        if len(chosen) != int(count[1]):
            raise UpstreamError(
                f"dnf chose {count[1]} packages, and {len(chosen)} of them were understood"
            )
        return chosen

    def _left_out(self) -> list[str]:
        found = [f"--exclude={name}-{version}.{arch}" for name, version, arch in self.without]
        found += [f"--exclude={name}" for name in sorted(self.unwanted)]
        return found + [f"--disablerepo={name}" for name in sorted(self.hidden)]

    def _write_installed(self, entries: tuple[RpmEntry, ...]) -> None:
        """Tell dnf which packages are installed, through rpm's own database."""
        database = self._declaration.suites[self._asked.suite].database
        with TreeIO(self._root) as tree:
            tree.remove(database)
        if not entries:
            return
        described = msgspec.json.encode(entries)
        made = self.run(Command((PYTHON, "-I", str(HEADERS)), stdin=described))
        if made.code != 0:
            raise HostError(
                f"`{PYTHON}` cannot write package headers: {made.output.strip()[-300:]}",
                hint="apt-get install python3-rpm",
            )
        env = {"HOME": str(self._folder / "home")}
        argv = ("rpmdb", "--root", str(self._root))
        check(self.run, *argv, "--initdb", env=env)
        check(self.run, *argv, "--importdb", stdin=made.stdout, env=env)

    def _dnf(self, *argv: str) -> Done:
        folder = self._folder
        options = (
            f"--config={folder}/dnf.conf",
            f"--installroot={self._root}",
            f"--releasever={self._asked.suite}",
            f"--forcearch={MACHINES[self._asked.arch]}",
        )
        env: Mapping[str, str] = {"HOME": str(folder / "home"), **proxy_environment()}
        if find_program("dnf") is None:
            raise missing_program("dnf")
        return self.run(Command(("dnf", *options, *argv), env=env))


def _refuse_replacing(names: Sequence[str], sections: Mapping[str, str]) -> None:
    """Raise RecipeError when something of a layer below would not stay."""
    replaced = [
        row[0]
        for title, body in sections.items()
        if title.startswith(("Remov", "Upgrad", "Downgrad", "Replac"))
        for row in _ROW.findall(body)
    ]
    if replaced:
        raise RecipeError(
            f"{_list(names)} cannot be installed beside {_list(replaced)}, "
            "which the layer below has",
            hint="take one of them out of the recipe",
        )


def _unwrapped(body: str) -> str:
    """Join the rows that dnf breaks because a column is too narrow."""
    return re.sub(r"\n {2,}(?=\S)", " ", body)


def _update_error(done: Done, declaration: Declaration) -> OvenError:
    """Sort what dnf says by who must act."""
    lines = [line.strip() for line in done.output.splitlines()]
    problem = next((line for line in lines if line.startswith("Error: ")), "")
    problem = problem.removeprefix("Error: ") or (lines[-1] if lines else "dnf failed")
    if is_full(done.output):
        return HostError(
            "no space left on the disk that holds the cache of indexes",
            hint="free some, or `oven cache prune`, then run the same command again",
        )
    if re.search(r"GPG|signature|[Ss]igning key", problem):
        return TrustError(
            f"the metadata's signature is not good: {problem}",
            hint=f"the mirror is broken or forged; {declaration.title} signs its metadata",
        )
    return UpstreamError(
        f"cannot download the metadata: {problem}", hint="try again later, or set another mirror"
    )


def _unsatisfiable(names: Sequence[str], done: Done) -> RecipeError:
    """Hand on dnf's explanation without what is always there."""
    lines = [line.rstrip() for line in done.output.splitlines() if not _NOISE.match(line)]
    told = "\n".join(f"  {line.removeprefix('Error: ').strip()}" for line in lines)
    return RecipeError(f"cannot install {_list(names)}:\n{told}")


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
