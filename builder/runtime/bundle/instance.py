"""An appliance's files in a container: written from outside, where no program of it runs."""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from builder.host.kernel import mounts
from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.model.instance import Instance, InstanceFile
from builder.runtime.bundle.accounts import Table
from builder.runtime.record import instances
from builder.runtime.record.container import Container

# Before each start all files are as the answers have them: what somebody has written over them by
# hand is gone then, as the page on appliances says. Secrets are shown as credentials, in a folder
# that only root inside can read and that ends with the container.


def apply(places: Places, container: Container, credentials: Path) -> None:
    """Bring the root, which is mounted, to what the instance was told, and show its secrets.

    Belongs in the process that has entered the container's room.
    """
    instance = instances.recovered(places, container.name)
    if instance is None:
        return
    with TreeIO(places.rootfs) as tree:
        write(tree, instance, container)
    show(instance, container, credentials)


def write(tree: TreeIO, instance: Instance, container: Container) -> None:
    """Write those files that are not as they shall be, and remove those that are not to be."""
    files = Files(tree, container)
    for file in instance.files:
        files.put(file)
    files.remove(instance.gone)


class Files:
    """The files of a container's root, which whoever is root inside has had in hands."""

    def __init__(self, tree: TreeIO, container: Container) -> None:
        self._tree = tree
        self._container = container
        self._tables: dict[str, Table] = {}

    def put(self, file: InstanceFile) -> None:
        """Write a file, unless it is as it shall be."""
        tree, first = self._tree, self._container.first_id
        try:
            there = tree.lstat(file.path) if tree.exists(file.path) else None
            if there is not None and not stat.S_ISREG(there.st_mode):
                raise self._refused(file.path, "it is no plain file there")
            wanted = self._rights(file, there)
            if there is not None and self._is(file, there, wanted):
                return
            mode, owner = wanted
            with mounts.file_owner(first):
                tree.mkdir(file.path.rpartition("/")[0], owner=(first, first))
                tree.write_bytes(file.path, file.content, mode, owner)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise self._refused(file.path, error.strerror or str(error)) from error

    def remove(self, paths: Iterable[str]) -> None:
        """Remove plain files; what is something else by now is none of ours."""
        tree = self._tree
        for path in paths:
            if tree.exists(path) and stat.S_ISREG(tree.lstat(path).st_mode):
                tree.remove(path)

    def _is(
        self, file: InstanceFile, there: os.stat_result, wanted: tuple[int, tuple[int, int]]
    ) -> bool:
        mode, owner = wanted
        if (stat.S_IMODE(there.st_mode), (there.st_uid, there.st_gid)) != (mode, owner):
            return False
        if there.st_size != len(file.content):
            return False
        tree = self._tree
        return tree.read_bytes(file.path, len(file.content)) == file.content

    def _rights(
        self, file: InstanceFile, there: os.stat_result | None
    ) -> tuple[int, tuple[int, int]]:
        first = self._container.first_id
        uid = self._id(file.owner, "passwd", 2)
        gid = self._id(file.group, "group", 2)
        if gid is None and file.owner is not None:
            gid = self._id(file.owner, "passwd", 3)
        if there is None:
            return file.mode, (first + (uid or 0), first + (gid or 0))
        mode = file.mode if file.own_mode else stat.S_IMODE(there.st_mode)
        owner = there.st_uid if uid is None else first + uid
        group = there.st_gid if gid is None else first + gid
        return mode, (owner, group)

    def _id(self, name: str | int | None, table: str, column: int) -> int | None:
        if name is None or isinstance(name, int):
            return name
        found = self._table(table).find(name)
        number = found[column] if found else ""
        if not number.isdigit() or int(number) >= self._container.ids:
            kind = "account" if table == "passwd" else "group"
            raise HostError(
                f"container `{self._container.name}` has no {kind} `{name}`, whose a file is to be",
                hint="a package or `[[user]]` of the appliance has to make it",
            )
        return int(number)

    def _table(self, name: str) -> Table:
        if name not in self._tables:
            self._tables[name] = Table(self._tree, name)
        return self._tables[name]

    def _refused(self, path: str, why: str) -> HostError:
        return HostError(
            f"cannot write `/{path}` into container `{self._container.name}`: {why}",
            hint="something else is in its place or in the way; see `ls -ld` inside",
        )


def show(instance: Instance, container: Container, credentials: Path) -> None:
    """Put secrets where the container's systemd takes them as credentials; old ones are replaced.

    See systemd.exec(5), `LoadCredential=`.
    """
    for name, text in instance.secrets.items():
        draft = credentials / f".{name}.new"
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
        with open(fd, "wb") as opened:  # noqa: PTH123  # opened by descriptor
            opened.write(text.encode())
            os.fchown(fd, 0, container.first_id)
        draft.rename(credentials / name)
