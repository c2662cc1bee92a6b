"""Where things lie on this machine: what is kept, what may be deleted, what ends with the boot."""

import os
import zlib
from pathlib import Path

import msgspec

PACKAGE = Path(__file__).resolve().parent.parent


class Places(msgspec.Struct, frozen=True):
    """The folders that Oven uses; none of them needs to exist yet."""

    data: Path
    """Templates and containers."""
    cache: Path
    """All that may be deleted at any time."""
    runtime: Path
    """What a running container needs; after a boot it means nothing any more."""
    settings: tuple[Path, ...]
    """Settings files, the later one winning."""
    user: int = 0
    """The id of whose they are, outside of any namespace."""
    point: Path = Path("/run/oven/mnt")
    """Where a container's room is mounted, seen by its own processes alone; a short path."""

    @classmethod
    def of_user(cls) -> "Places":
        """Find them for the user who runs this (XDG base directory specification).

        Call it before `enter_namespace`, which makes everybody look like root.
        """
        root = os.geteuid() == 0
        home = os.environ.get("OVEN_HOME")
        config = _xdg("XDG_CONFIG_HOME", ".config") / "oven/settings.toml"
        settings = (Path("/etc/oven/settings.toml"), config)
        if root:
            data, runtime = Path("/var/lib/oven"), Path("/run/oven")
        else:
            data = _xdg("XDG_DATA_HOME", ".local/share") / "oven"
            # Not below XDG_RUNTIME_DIR: `su`, cron and the end of a login have another one or none,
            # and whoever does not see that a container runs may start it a second time.
            runtime = data / "run"
        cache = checkout_cache() or _xdg("XDG_CACHE_HOME", ".cache") / "oven"
        if home:
            data = Path(home).absolute()
            cache = data / "cache"
            runtime = data / "run"
        plain = cls(data=data, cache=cache, runtime=runtime, settings=settings)
        return plain if root else plain.of_ordinary_user()

    def of_ordinary_user(self) -> "Places":
        """Give the same for somebody who is not root."""
        return msgspec.structs.replace(self, user=os.geteuid(), point=self.runtime / "mnt")

    @property
    def ordinary(self) -> bool:
        """Whether that is an ordinary user, who has one range of ids for all containers."""
        return self.user != 0

    @property
    def mark(self) -> str:
        """A word that tells this home from the others of the host, for names that they share."""
        return f"{zlib.crc32(os.fsencode(self.data)):08x}"

    @property
    def rootfs(self) -> Path:
        """Where a room has the container's root."""
        return self.point / "rootfs"

    @property
    def shared(self) -> Path:
        """Where it has what the container sees as `/run/host`."""
        return self.point / "host"

    @property
    def own(self) -> Path:
        """What the container has beside its template, with the ids that it has inside."""
        return self.point / "own"

    @property
    def devices(self) -> Path:
        """Nodes of devices that it gets."""
        return self.point / "devices"

    @property
    def disk(self) -> Path:
        """The image of its disk, with owners as on disk."""
        return self.point / "disk"

    @property
    def temporary(self) -> Path:
        """For sockets of the monitor and the runtime: their paths have at most 107 bytes."""
        return self.point / "tmp"

    def as_word(self) -> str:
        """Write them as one word of a command line."""
        return msgspec.json.encode(self, enc_hook=str).decode()

    @classmethod
    def of_word(cls, word: str) -> "Places":
        """Read what `as_word` wrote."""
        return msgspec.json.decode(word, type=cls, dec_hook=lambda _, value: Path(value))


def _xdg(variable: str, default: str) -> Path:
    """Resolve a base directory; the specification says to ignore relative ones."""
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else Path.home() / default


def checkout() -> Path | None:
    """Give the checkout that this package runs from, or None when it is installed."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").exists() and (root / "recipes").is_dir() else None


def checkout_cache() -> Path | None:
    """Give the checkout's `cache/`; None when there is none, or when it is somebody else's.

    What root left in a user's checkout would be in that user's way later.
    """
    root = checkout()
    cache = root / "cache" if root else None
    return cache if cache and cache.is_dir() and cache.stat().st_uid == os.geteuid() else None


def shipped(kind: str) -> Path:
    """Give the folder of the recipes or appliances that come with Oven."""
    root = checkout()
    return root / kind if root else PACKAGE / "shipped" / kind


def is_installed(path: Path) -> bool:
    """Tell whether a file is part of an installed Oven, which an upgrade replaces."""
    return checkout() is None and path.resolve().is_relative_to(PACKAGE)
