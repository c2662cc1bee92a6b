"""Apt as a solver: private folders, signed indexes in, names and versions out."""

import hashlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from builder.distros.debian.archive.origin import Origin
from builder.distros.debian.archive.pockets import list_name
from builder.distros.debian.archive.refusals import beside, unsatisfiable
from builder.distros.debian.archive.wishes import Wishes
from builder.host.network.downloads import proxy_environment
from builder.host.programs import Command, Done, HungError, Runner, is_full
from builder.host.sandbox.sandbox import Sandbox, SandboxBind, inside
from builder.model.errors import HostError, OvenError, TrustError, UpstreamError
from builder.model.lock import Release

CONFIGURATION = """\
Dir "{folder}/";
Dir::State::status "{folder}/var/lib/dpkg/status";
APT::Architecture "{arch}";
APT::Architectures {{ {arches} }};
APT::Get::Assume-Yes "true";
APT::Install-Suggests "false";
// A simulation on an empty system has no order in which everything could be configured at once.
APT::Immediate-Configure "false";
// In a user namespace there may be no other user, and the folders are ours alone.
APT::Sandbox::User "root";
// Without this, a bad signature is a warning and older indexes are used.
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
// A release that turns from stable to oldstable is the same release.
Acquire::AllowReleaseInfoChange "true";
Acquire::Check-Valid-Until "true";
Acquire::Languages "none";
Acquire::PDiffs "false";
// A quarter more to download than with xz, half a second less to unpack: good from 30 Mbit/s.
Acquire::CompressionTypes::Order {{ "gz"; }};
Acquire::Retries "2";
// With a pause before the retry, apt 2.6 never wakes up again if other files finished meanwhile.
Acquire::Retries::Delay "false";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
// Otherwise it depends on the machine's id whether an update of Ubuntu's is there.
APT::Get::Always-Include-Phased-Updates "true";
"""
"""See apt.conf(5); every folder that apt knows lies below `Dir`."""

SOURCE = """\
Types: deb
URIs: {url}/
Suites: {suites}
{components}Architectures: {arches}
Signed-By: {keyring}
Targets: Packages
"""
"""One paragraph of sources.list(5)."""

UPDATED = "updated"
"""A file that was changed when the indexes were last compared with a mirror's."""

RECENT = 24 * 3600
"""For how many seconds after that packages may be chosen from them without asking again."""

PATIENCE = 1800.0
"""Seconds for all indexes; of those that are as large as Debian's, 10 kB a second is enough."""

CHOSEN = re.compile(r"^Inst (\S+) (?:\[[^]]*\] )?\((\S+) [^\n]*\)", re.MULTILINE)
REMOVED = re.compile(r"^(?:Remv|Purg) (\S+)", re.MULTILINE)
UNTRUSTED = re.compile(r"(?:GPG error|OpenPGP signature verification failed): (.*)")
"""What apt says of a bad signature: before and since version 2.9.19, which asks sqv(1)."""


class Apt:
    """An apt of our own for some suites and one architecture; the host's is left alone."""

    def __init__(self, folder: Path, origin: Origin, run: Runner) -> None:
        self._folder = folder
        self._origin = origin
        self._run = run

    def alone(self) -> "Apt":
        """Give one that sees nothing but this folder and programs: for what strangers wrote."""
        root = self._folder / "alone"
        root.mkdir(exist_ok=True)
        shown = (SandboxBind(self._folder, str(self._folder)),)
        return Apt(self._folder, self._origin, inside(Sandbox(root, shown, from_host=True)))

    def prepare(self) -> None:
        """Make the folders, and tell apt of them."""
        folder = self._folder
        for name in (
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg",
            "var/cache/apt/archives/partial",
            "var/log/apt",
        ):
            (folder / name).mkdir(parents=True, exist_ok=True)
        arches = self._origin.arches
        listed = " ".join(f'"{arch}";' for arch in arches)
        text = CONFIGURATION.format(folder=folder, arch=arches[0], arches=listed)
        # Every run writes its files before it reads them, so they may be lost in a crash.
        (folder / "apt.conf").write_text(text)
        self._write_status(())

    @property
    def lists(self) -> Path:
        """The verified indexes."""
        return self._folder / "var/lib/apt/lists"

    @property
    def name(self) -> str:
        """What tells its indexes from those of others."""
        return str(self._folder)

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self._folder

    def still_has(self, releases: Iterable[Release]) -> bool:
        """Tell whether the indexes are those that a lock was made from, fetched within a day."""
        try:
            age = time.time() - (self._folder / UPDATED).stat().st_mtime
        except FileNotFoundError:
            return False
        mine = self._origin.pockets
        wanted = {(one.archive, one.suite): one.sha256 for one in releases}
        return 0 <= age < RECENT and {one: wanted.get(one) for one in mine} == {
            (archive, suite): hashlib.sha256(path.read_bytes()).hexdigest()
            for archive, suite in mine
            for path in self.lists.glob(list_name(suite, "InRelease"))
        }

    def update(self, mirrors: Mapping[str, str], keyring: Path) -> None:
        """Fetch the indexes, or only what changed in them; `mirrors` has one for each archive.

        Raises TrustError for a bad signature and UpstreamError for all else.
        """
        if not keyring.exists():
            raise HostError(
                f"the keys of {self._origin.title}'s archive are not at `{keyring}`",
                hint=self._origin.no_keys,
            )
        folders: dict[str, list[str]] = {}
        for archive, suite in self._origin.pockets:
            folders.setdefault(archive, []).append(suite)
        text = "\n".join(
            SOURCE.format(
                url=mirrors[archive],
                suites=" ".join(suites),
                components=_components(self._origin),
                arches=" ".join(self._origin.arches),
                keyring=keyring,
            )
            for archive, suites in folders.items()
        )
        (self._folder / "etc/apt/sources.list.d/oven.sources").write_text(text)
        # Its cache of all packages is of no use to us, and takes as long as the download.
        argv = ("apt-get", "update", "-q", "-opkgCacheFile::Generate=false")
        try:
            done = self._apt(*argv, limit=PATIENCE)
        except HungError:
            # apt has a limit for each wait alone, and a byte now and then is enough for it.
            asked = tuple(f"{mirrors[archive]}/" for archive in folders)
            raise MirrorError(
                f"{_list(asked)} did not give the indexes in {PATIENCE:g} seconds",
                asked,
                hint="try again later, or set another mirror",
            ) from None
        if done.code != 0:
            raise _update_error(done, self._origin)
        (self._folder / UPDATED).touch()

    def offer(self, packages: bytes, pins: str = "") -> None:
        """Say which packages there are to choose from, in the words of a verified index.

        `pins` say which versions count more or less than others (apt_preferences(5)).
        """
        self._offer.write_bytes(packages)
        (self._folder / "etc/apt/preferences.d/oven").write_text(pins)

    def install(
        self, wish: Wishes, *, on: Iterable[bytes] = (), recommends: bool = False
    ) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
        """Choose what to install so that what is wished for and its needs are there.

        `on` describes the packages that are there already, with their status; they stay as they
        are, but for those that are to go. Gives names, foreign architectures and versions, and
        what goes of `on`.
        """
        self._write_status(on)
        done = self._apt(
            "apt-get",
            "install",
            "--simulate",
            "-q",
            "-oDir::Etc::SourceList=/dev/null",
            "-oDir::Etc::SourceParts=/dev/null",
            "-oDir::Cache::pkgcache=",
            "-oDir::Cache::srcpkgcache=",
            f"-oAPT::Install-Recommends={str(recommends).lower()}",
            f"--with-source={self._offer}",
            "--",
            *wish.arguments,
            *(f"{name}-" for name in wish.unwanted),
        )
        if done.code != 0:
            raise unsatisfiable(wish, done)
        text = done.stdout.decode(errors="replace")
        removed = [_parted(name) for name in REMOVED.findall(text)]
        if more := [name for name, _ in removed if name not in wish.unwanted]:
            raise beside(wish, more)
        return [(*_parted(name), version) for name, version in CHOSEN.findall(text)], removed

    @property
    def _offer(self) -> Path:
        return self._folder / "Packages"

    def _apt(self, *argv: str, limit: float | None = None) -> Done:
        env = {"APT_CONFIG": str(self._folder / "apt.conf"), **proxy_environment()}
        return self._run(Command(argv, env=env, limit=limit))

    def _write_status(self, stanzas: Iterable[bytes]) -> None:
        """Tell apt which packages are installed."""
        data = b"".join(stanza + b"\n\n" for stanza in stanzas)
        (self._folder / "var/lib/dpkg/status").write_bytes(data)


class MirrorError(UpstreamError):
    """Fetching the indexes failed; `urls` are those that did."""

    def __init__(self, problem: str, urls: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.urls = urls


def _update_error(done: Done, origin: Origin) -> OvenError:
    """Sort what apt says by who must act."""
    text = done.stderr.decode(errors="replace")
    lines = [line[3:].strip() for line in text.splitlines() if line[:3] in {"E: ", "W: "}]
    if is_full(done.output):
        # apt tells this like a fault of the mirror, and version 3 only on the way, before it has
        # tried what is not there; a partial index then also fails its signature.
        return HostError(
            "no space left on the disk that holds the cache of indexes",
            hint="free some, or `oven cache prune`, then run the same command again",
        )
    problem = next((found[1] for line in lines if (found := UNTRUSTED.search(line))), None)
    if problem:
        return TrustError(
            f"the signature is not good: {_plain(problem)}",
            hint=origin.bad_signature,
        )
    for line in lines:
        if found := re.match(r"The repository '(\S+)[^']*' is not signed", line):
            return MirrorError(
                f"the archive at `{found[1]}` is not signed",
                (f"{found[1].rstrip('/')}/",),
                hint="one without a signature cannot be used; or something else answers for it",
            )
    for line in lines:
        if found := re.match(r"(Release file for (\S+) is (?:expired|not valid yet)[^.]*)", line):
            return MirrorError(
                found[1],
                (found[2],),
                hint="the mirror is no longer kept up to date, or this machine's clock is wrong",
            )
    failed = [found for line in lines if (found := re.match(r"Failed to fetch (\S+) +(.*)", line))]
    if failed:
        url, why = failed[0].groups()
        return MirrorError(
            f"cannot download `{url}`: {why.strip().rstrip(':')}",
            tuple(found[1] for found in failed),
            hint="try again later, or set another mirror",
        )
    urls = re.findall(r"https?://[^\s']+", text)
    return MirrorError("; ".join(lines) or done.output.strip(), tuple(urls))


def _components(origin: Origin) -> str:
    return f"Components: {' '.join(origin.components)}\n" if origin.components else ""


def _plain(problem: str) -> str:
    """Leave out which program says it, and what it says more than once, as sqv(1) does."""
    words = re.sub(
        r"Sub-process \S+ returned an error code \(\d+\), error message is:", "", problem
    )
    return re.sub(r"(.{10,}?)(?: \1)+", r"\1", " ".join(words.split()))


def _parted(name: str) -> tuple[str, str]:
    """Part what apt calls a package into its name and a foreign architecture."""
    first, _, arch = name.partition(":")
    return first, arch


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
