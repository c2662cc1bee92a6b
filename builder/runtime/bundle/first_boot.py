"""First-boot data: written into a container's root once, before it first starts."""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from builder.host.kernel import mounts
from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError, RecipeError
from builder.model.first_boot import FirstBoot, Root
from builder.model.value import canonical
from builder.runtime.bundle.accounts import Accounts
from builder.runtime.record.container import Container
from builder.runtime.record.layout import PENDING, SHARED, WRITTEN, folder_of, volatile_of

# It waits in the container's folder as `first-boot.json`, which only root can read. Just before the
# first start it is written into the root, synced, and the file renamed: a start that dies before
# that does all of it again, one that dies after does not. What systemd takes as credentials is
# shown at that start too; once the init is ready nothing of it is left outside the container.

_SKELETON = "etc/skel"
_ZONES = "usr/share/zoneinfo"


def extras(data: FirstBoot) -> Mapping[str, bytes]:
    """Give the files that `create` puts into the container's folder."""
    return {} if data == FirstBoot() else {PENDING: canonical(data)}


def pass_on(places: Places, name: str, other: str) -> None:
    """Have a copy of a container that never started wait for the same, but for the host name."""
    data = _read(folder_of(places, name) / PENDING)
    if data is not None:
        data = msgspec.structs.replace(data, hostname=None)
        durable.replace(folder_of(places, other) / PENDING, canonical(data))


def apply(places: Places, container: Container) -> None:
    """Write what waits into the root, which is mounted; done once, nothing to do is fine.

    Belongs in the process that has entered the container's room.
    """
    folder = folder_of(places, container.name)
    data = _read(folder / PENDING)
    if data is None:
        return
    with TreeIO(places.rootfs) as tree, mounts.file_owner(container.first_id):
        try:
            write(tree, data, container.first_id)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise HostError(
                f"cannot write first-boot data into container `{container.name}`: {error}",
                hint="its template may have a link where a file or folder should be",
            ) from error
    disk = durable.Disk()
    disk.sync_filesystem(places.rootfs)
    disk.rename(folder / PENDING, folder / WRITTEN)
    disk.sync(folder)


def show(places: Places, container: Container, credentials: Path) -> None:
    """Put what the container's systemd takes as credentials into that folder."""
    folder = folder_of(places, container.name)
    data = _read(folder / PENDING) or _read(folder / WRITTEN)
    if data is None or container.init != "systemd":
        return
    for name, text in _credentials(data).items():
        file = credentials / name
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
        with open(fd, "wb") as opened:  # noqa: PTH123  # opened by descriptor
            opened.write(text.encode())
            os.fchown(fd, 0, container.first_id)


def hide(places: Places, name: str) -> None:
    """Remove what `show` has put there; whatever else lies there by now is not ours."""
    data = _read(folder_of(places, name) / WRITTEN)
    if data is None:
        return
    # Nobody inside should be able to change this folder. Were it a link all the same, it would end
    # at the folder that holds it.
    with TreeIO(volatile_of(places, name) / SHARED) as tree:
        for credential in _credentials(data) if tree.is_dir("credentials") else ():
            tree.remove(f"credentials/{credential}")


def forget(places: Places, name: str) -> None:
    """Remove all of it from the host, once the container has what it needs."""
    hide(places, name)
    (folder_of(places, name) / WRITTEN).unlink(missing_ok=True)


def write(tree: TreeIO, data: FirstBoot, first: int) -> None:
    """Write it into a tree where root inside has the id `first`."""
    accounts = Accounts(tree, first)
    for user in data.user:
        if accounts.home(user.name) is None:
            accounts.add(user.name, user.uid, user.shell or _shell(tree))
        accounts.join(user.name, user.groups)
    logins: list[tuple[str, Root]] = [("root", data.root)]
    logins += [(user.name, user) for user in data.user]
    for name, login in logins:
        if login.password_hash is not None:
            accounts.set_password(name, login.password_hash)
    if data.user or any(login.password_hash is not None for _, login in logins):
        accounts.save()
    for user in data.user:
        _make_home(tree, accounts, user.name, first)
    for name, login in logins:
        _add_keys(tree, accounts, (name, login.ssh_keys), first)
    _write_system(tree, data, first)
    for file in data.file:
        path = file.path.strip("/")
        tree.mkdir(path.rpartition("/")[0], owner=(first, first))
        tree.write_bytes(path, file.data or b"", int(file.mode, 8), (first, first))


def _write_system(tree: TreeIO, data: FirstBoot, first: int) -> None:
    owner = (first, first)
    if data.hostname is not None:
        tree.write_bytes("etc/hostname", f"{data.hostname}\n".encode(), owner=owner)
    if data.timezone is not None:
        if not tree.is_file(f"{_ZONES}/{data.timezone}"):
            raise RecipeError(
                f"the container has no time zone `{data.timezone}`",
                hint="the template needs the package `tzdata`",
            )
        tree.symlink("etc/localtime", f"/{_ZONES}/{data.timezone}")
        if tree.is_file("etc/timezone"):
            tree.write_bytes("etc/timezone", f"{data.timezone}\n".encode(), owner=owner)
    if data.locale is not None:
        text = f"LANG={data.locale}\n".encode()
        tree.write_bytes("etc/locale.conf", text, owner=owner)
        # Older Debian has a file there, newer a link to the other one.
        default = "etc/default/locale"
        if tree.exists(default) and not stat.S_ISLNK(tree.lstat(default).st_mode):
            tree.write_bytes(default, text, owner=owner)


def _make_home(tree: TreeIO, accounts: Accounts, name: str, first: int) -> None:
    """Make the home folder of a user who has none, with what /etc/skel has at its top."""
    found = accounts.home(name)
    if found is None or tree.exists(found[0]):
        return
    home, owner = found[0], (first + found[1], first + found[2])
    parent = home.rstrip("/").rpartition("/")[0]
    tree.mkdir(parent, owner=(first, first))
    tree.mkdir(home, 0o700, owner)
    if tree.is_dir(_SKELETON):
        for entry in tree.listdir(_SKELETON):
            if tree.is_file(f"{_SKELETON}/{entry}"):
                data = tree.read_bytes(f"{_SKELETON}/{entry}")
                tree.write_bytes(f"{home}/{entry}", data, 0o644, owner)


def _add_keys(
    tree: TreeIO, accounts: Accounts, login: tuple[str, tuple[str, ...]], first: int
) -> None:
    """Add keys as sshd's StrictModes wants them: the user's own, and nobody else may write."""
    name, keys = login
    if not keys:
        return
    found = accounts.home(name)
    if found is None:
        raise HostError(f"there is no user `{name}` in the container")
    home, owner = found[0].rstrip("/"), (first + found[1], first + found[2])
    folder, file = f"{home}/.ssh", f"{home}/.ssh/authorized_keys"
    tree.mkdir(folder, 0o700, owner)
    old = tree.read_bytes(file).decode(errors="surrogateescape") if tree.is_file(file) else ""
    lines = [*old.splitlines(), *(key for key in keys if key not in old.splitlines())]
    text = "".join(f"{line}\n" for line in lines)
    tree.write_bytes(file, text.encode(errors="surrogateescape"), 0o600, owner)


def _shell(tree: TreeIO) -> str:
    return "/bin/bash" if tree.is_file("bin/bash") else "/bin/sh"


def _credentials(data: FirstBoot) -> dict[str, str]:
    """Name what systemd has names for (systemd.system-credentials(7))."""
    found = {
        "passwd.hashed-password.root": data.root.password_hash,
        "ssh.authorized_keys.root": "".join(f"{key}\n" for key in data.root.ssh_keys),
        "system.hostname": data.hostname,
        "firstboot.timezone": data.timezone,
        "firstboot.locale": data.locale,
    }
    return {name: value for name, value in found.items() if value}


def _read(path: Path) -> FirstBoot | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=FirstBoot)
    except FileNotFoundError:
        return None
