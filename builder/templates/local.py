"""The local templates: trees by the digest of their tarball, and names that point to them.

Below `<data>/templates` lie `<hex digits>/`, `names/<name>.json`, `drafts/` (what is not whole yet,
in a locked folder for each live process) and `lock`. A template has a `manifest.json`, and a
`rootfs/` once somebody wanted to run it; one that was only built has its tarball until then. A tree
is shared by all containers made of it and never changes; building a template again moves its name
to the new tree.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.host.trees.durable import Disk, disk_errors, held, is_held, locked, private, replace
from builder.host.trees.removal import remove_tree
from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.feature import Feature
from builder.model.value import Digest, Value, canonical, hex_of

if TYPE_CHECKING:
    from builder.model.manifest import Manifest

ROOTFS, TARBALL, TREE = "rootfs", "template.tar.zst", "tree.json"
"""What is in a template's folder beside its manifest; the last names the tree in the store that the
tarball was made of."""

_SHORTEST = 4
"""How many digits of a digest stand for it at least."""

_HEX_DIGITS = 64


class Tag(Value, frozen=True):
    """What a name points to."""

    digest: Digest


class _Use(msgspec.Struct):
    """The one thing that matters here of the record of a container or a snapshot."""

    template: Digest


class _Asks(msgspec.Struct, frozen=True):
    """Whether instances are asked anything, or are given anything."""

    parameters: dict[str, msgspec.Raw] = {}
    secrets: dict[str, msgspec.Raw] = {}
    instance: bool = False
    volumes: tuple[msgspec.Raw, ...] = ()


class _Named(msgspec.Struct):
    """What of a manifest running needs."""

    name: str
    features: tuple[Feature, ...] = ()
    interface: _Asks = _Asks()


class Template(msgspec.Struct, frozen=True):
    """A template on this machine."""

    digest: Digest
    """Of its tarball."""
    name: str
    """What its recipe called it."""
    folder: Path
    names: tuple[str, ...]
    """What it goes by; none when a newer one has taken its name."""
    features: tuple[Feature, ...] = ()
    """What its containers ask for."""
    asks: bool = False
    """Whether its containers are instances of an appliance: asked something, or given something."""
    keeps: bool = False
    """Whether they have volumes of their own."""

    @property
    def manifest(self) -> "Manifest":
        """All that is known of it."""
        from builder.model.manifest import Manifest

        path = self.folder / "manifest.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except msgspec.DecodeError as error:
            raise HostError(
                f"the record of the template `{self.name}` is damaged: {error}",
                at=path,
                hint=f"oven template rm {self.digest[7:19]}, and build or import it again",
            ) from error

    @property
    def rootfs(self) -> Path:
        """The tree, which must not be changed; it is there once `unpacked`."""
        return self.folder / ROOTFS

    @property
    def tarball(self) -> Path:
        """What it will be unpacked from."""
        return self.folder / TARBALL

    @property
    def unpacked(self) -> bool:
        """Whether it can be run at once."""
        return self.rootfs.is_dir()


class Templates:
    """The templates below one data folder; any number of processes may use them."""

    def __init__(self, data: Path) -> None:
        self._root = data / "templates"
        self._containers = data / "containers"
        self._disk = Disk()

    # Looking

    def every(self) -> list[Template]:
        """Give all templates, by name."""
        names = self._names()
        found = [one for path in self._folders() if (one := self._load(path, names)) is not None]
        return sorted(found, key=lambda one: (one.names or ("\x7f",), one.digest))

    def find(self, wanted: str) -> Template:
        """Look a template up by its name, or by the first digits of its digest."""
        names = self._names()
        if (digest := names.get(wanted)) is not None:
            template = self._load(self._folder(digest), names)
            if template is not None:
                return template
        digits = wanted.removeprefix("sha256:")
        if len(digits) >= _SHORTEST and set(digits) <= set("0123456789abcdef"):
            folders = [path for path in self._folders() if path.name.startswith(digits)]
            found = [one for path in folders if (one := self._load(path, names)) is not None]
            if len(found) > 1:
                raise ConflictError(
                    f"`{wanted}` stands for {len(found)} templates", hint="give more digits"
                )
            if found:
                return found[0]
        raise self._not_found(wanted, names)

    def known(self, digest: Digest) -> Template | None:
        """Give the template with exactly this digest, or None."""
        return self._load(self._folder(digest), self._names())

    def users(self, digest: Digest) -> list[str]:
        """Name the containers that stand on a template, they or a snapshot of them.

        A damaged record counts as a user.
        """
        found: dict[str, None] = {}
        for pattern in ("*/container.json", "*/snapshots/*.json"):
            for path in sorted(self._containers.glob(pattern)):
                with contextlib.suppress(FileNotFoundError):
                    try:
                        use = msgspec.json.decode(path.read_bytes(), type=_Use)
                        uses = use.template == digest
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        uses = True
                    if uses:
                        found[path.relative_to(self._containers).parts[0]] = None
        return list(found)

    # Changing

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others from adding and removing; hold it while a container's record is written."""
        with disk_errors(self._root), locked(private(self._root) / "lock"):
            yield

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """Lend an empty folder on the templates' file system; what is left in it is removed."""
        drafts = self._root / "drafts"
        import tempfile  # slow to import; a container's start does without

        with contextlib.ExitStack() as stack:
            with self.lock():
                drafts.mkdir(exist_ok=True)
                _sweep(drafts)
                outer = Path(tempfile.mkdtemp(dir=drafts))
                stack.callback(_remove_unlocked, outer)
                stack.enter_context(locked(outer / "lock"))
                inner = outer / "draft"
                inner.mkdir()
                stack.callback(remove_tree, inner)
            yield inner

    def add(self, draft: Path, manifest: "Manifest", digest: Digest, name: str | None) -> Template:
        """Take in a folder with a template's files; without a name it waits for its `tag`."""
        if name is not None:
            self._name_path(name)  # refused before anything is done
        folder = self._folder(digest)
        with disk_errors(self._root):
            self._disk.write(draft / "manifest.json", canonical(manifest))
            self._disk.sync_filesystem(draft)
            with self.lock():
                if not folder.exists():
                    draft.chmod(0o755)
                    self._disk.rename(draft, folder)
                    self._disk.sync(self._root)
                if name is not None:
                    self._point(name, digest)
        return self.find(digest)

    def put_tree(self, template: Template, rootfs: Path) -> None:
        """Give a template its tree, from a draft, in place of its tarball."""
        with disk_errors(self._root):
            self._disk.sync_filesystem(rootfs)
            with self.lock():
                if template.folder.exists() and not template.unpacked:
                    self._disk.rename(rootfs, template.rootfs)
                    self._disk.sync(template.folder)
                for name in (TARBALL, TREE):
                    (template.folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self, digest: Digest) -> Iterator[bool]:
        """Keep a template that has no name yet from `prune_untagged`; False if that was quicker."""
        with contextlib.ExitStack() as stack:
            with self.lock():
                there = stack.enter_context(held(self._folder(digest)))
            yield there

    def tag(self, name: str, digest: Digest) -> None:
        """Make a name point to a template that is there."""
        with self.lock():
            self.find(digest)
            self._point(name, digest)

    def remove(self, wanted: str) -> Template:
        """Remove a name, and the template with the last one; by digest, the template at once.

        Raises ConflictError while a container stands on it.
        """
        with self.lock():
            template = self.find(wanted)
            if wanted in template.names and len(template.names) > 1:
                self._name_path(wanted).unlink()
                return template
            if users := self.users(template.digest):
                raise ConflictError(
                    f"the template `{wanted}` is used by {_listed(users)}",
                    hint=f"oven destroy {' '.join(users)}",
                )
            self._remove(template)
        return template

    def prune_untagged(self) -> list[Template]:
        """Remove the templates that have no name, which no container uses and nobody holds."""
        with self.lock():
            nameless = [one for one in self.every() if not one.names and not is_held(one.folder)]
            unused = [one for one in nameless if not self.users(one.digest)]
            for template in unused:
                self._remove(template)
        return unused

    def _remove(self, template: Template) -> None:
        """Take the tree away whole before it is deleted, so that nobody sees half of one."""
        for name in template.names:
            self._name_path(name).unlink(missing_ok=True)
        drafts = self._root / "drafts"
        drafts.mkdir(exist_ok=True)
        import tempfile

        grave = Path(tempfile.mkdtemp(dir=drafts))
        self._disk.rename(template.folder, grave / "draft")
        remove_tree(grave)

    def _point(self, name: str, digest: Digest) -> None:
        replace(self._name_path(name), canonical(Tag(digest)), disk=self._disk)

    def _name_path(self, name: str) -> Path:
        from builder.model.names import Name

        try:
            msgspec.convert(name, Name)
        except msgspec.ValidationError:
            raise RecipeError(
                f"`{name}` cannot name a template",
                hint="use lower-case letters, digits, `.` and `-`, at most 63",
            ) from None
        return self._root / "names" / f"{name}.json"

    def _names(self) -> dict[str, Digest]:
        found: dict[str, Digest] = {}
        for path in sorted((self._root / "names").glob("[!.]*.json")):
            # One that is damaged or just gone names nothing.
            with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
                found[path.stem] = msgspec.json.decode(path.read_bytes(), type=Tag).digest
        return found

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._root.glob("*") if len(path.name) == _HEX_DIGITS)

    def _folder(self, digest: Digest) -> Path:
        return self._root / hex_of(digest)

    def _load(self, folder: Path, names: dict[str, Digest]) -> Template | None:
        try:
            named = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Named)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        digest = Digest(f"sha256:{folder.name}")
        own = tuple(name for name, points_to in names.items() if points_to == digest)
        asks = named.interface
        told = bool(asks.parameters or asks.secrets or asks.instance)
        keeps = bool(asks.volumes)
        return Template(digest, named.name, folder, own, named.features, told, keeps)

    def _not_found(self, wanted: str, names: dict[str, Digest]) -> NotFoundError:
        hint = f"`oven build {wanted}` makes it when there is such a recipe"
        from difflib import get_close_matches

        if near := get_close_matches(wanted, names, n=3, cutoff=0.5):
            hint = f"did you mean {' or '.join(f'`{name}`' for name in near)}?"
        elif names:
            hint += "; `oven template list` shows those that are there"
        return NotFoundError(f"there is no template `{wanted}`", hint=hint)


def _sweep(drafts: Path) -> None:
    """Remove the drafts of processes that died: their locks are free."""
    for folder in list(drafts.iterdir()):
        try:
            # Without making it: a draft whose lock is gone is being removed by its owner.
            with locked(folder / "lock", wait=False, make=False) as free:
                if free:
                    remove_tree(folder)
        except FileNotFoundError:
            remove_tree(folder)


def _remove_unlocked(folder: Path) -> None:
    """Remove a draft's folder that holds at most its lock; who sweeps may do so as well."""
    with contextlib.suppress(FileNotFoundError):
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()


def _listed(names: list[str]) -> str:
    kind = "the container" if len(names) == 1 else "the containers"
    return f"{kind} {', '.join(f'`{name}`' for name in names)}"
