"""What a container is called and whom it asks for names: Oven's lines in files of the container."""

import re
import stat
from collections.abc import Sequence

from builder.host.kernel import mounts, uts
from builder.host.trees.treeio import TreeIO
from builder.runtime.bundle import lookup
from builder.runtime.record.container import HOST_NAME, Container

# Everybody adds lines to these files: administrators, packages, scripts of a build. Oven has a
# block in them that it writes anew, and the rest is theirs.

BEGIN = b"# begin of oven's lines, new at each start; delete them with both marks to have none\n"
END = b"# end of oven's lines\n"
_BLOCK = re.compile(re.escape(BEGIN) + b".*?" + re.escape(END), re.DOTALL)
_OLD = b"# written by oven at the start of the container; delete this line to keep your changes\n"
"""The one mark of earlier versions, and what followed it: a block without an end."""
_LINES = (
    rb"(?:127\.0\.0\.1 localhost|127\.0\.1\.1 [^\n]+|::1 localhost ip6-localhost ip6-loopback"
    rb"|nameserver [^\s]+)\n"
)
_OPEN_BLOCK = re.compile(b"(?:%b|%b)(?:%b)*" % (re.escape(_OLD), re.escape(BEGIN), _LINES))

HOSTNAME, HOSTS, RESOLV = "etc/hostname", "etc/hosts", "etc/resolv.conf"


def write(
    tree: TreeIO, container: Container, resolvers: Sequence[str], *, first: frozenset[str]
) -> str:
    """Give a container that starts its name and name servers; give the name that it has.

    `first` are the files that are still as its template has them, which get a block whatever is in
    them. In others it stays away once it was deleted.
    """
    owner = (container.first_id, container.first_id)
    if not _content(tree, HOSTNAME):
        tree.write_bytes(HOSTNAME, f"{container.hostname}\n".encode(), owner=owner)
    name = _name_in(tree) or container.hostname
    servers = "".join(f"nameserver {server}\n" for server in resolvers).encode()
    for path, lines in ((HOSTS, _hosts(name)), (RESOLV, servers)):
        _put(tree, path, lines, owner, always=path in first)
    return name


def set_now(container: Container, pid: int) -> None:
    """Have a running container, of that first process, be called as its record says."""
    owner = (container.first_id, container.first_id)
    with lookup.root_of(container.name, pid) as tree, mounts.file_owner(container.first_id):
        tree.write_bytes(HOSTNAME, f"{container.hostname}\n".encode(), owner=owner)
        _put(tree, HOSTS, _hosts(container.hostname), owner, always=False)
    uts.set_hostname(pid, container.hostname)


def empty(tree: TreeIO) -> None:
    """Have the next start write the name of the record, whatever is there now."""
    try:
        if tree.is_file(HOSTNAME):
            tree.write_bytes(HOSTNAME, b"")
    except OSError:
        return  # something else is there, which is the container's own affair


def drop(tree: TreeIO, hostname: str) -> None:
    """Do the same where it has that old name."""
    try:
        if tree.is_file(HOSTNAME) and tree.read_bytes(HOSTNAME).split() == [hostname.encode()]:
            tree.write_bytes(HOSTNAME, b"")
    except OSError:
        return


def is_only_ours(content: bytes) -> bool:
    """Tell whether nothing but Oven's lines is in a file."""
    return bool(content) and not _outside(content).strip()


def _hosts(name: str) -> bytes:
    # With a domain, the whole name is the canonical one (hostname(1), "The FQDN").
    own = " ".join(dict.fromkeys((name, name.partition(".")[0])))
    return (
        f"127.0.0.1 localhost\n127.0.1.1 {own}\n::1 localhost ip6-localhost ip6-loopback\n"
    ).encode()


def _outside(content: bytes) -> bytes:
    return _OPEN_BLOCK.sub(b"", _BLOCK.sub(b"", content))


def _put(tree: TreeIO, path: str, lines: bytes, owner: tuple[int, int], *, always: bool) -> None:
    """Write the block anew where it is, and in front where there is none and shall be one."""
    old, block = _content(tree, path), BEGIN + lines + END
    if old is None:
        return
    for where in (_BLOCK, _OPEN_BLOCK):
        new, count = where.subn(lambda _: block, old, count=1)
        if count:
            break
    else:
        if old and not always:
            return
        new = block + old
    if new != old:
        tree.write_bytes(path, new, owner=owner)


def _name_in(tree: TreeIO) -> str | None:
    """Read the name that an init will give it (hostname(5)): the first line that is no comment."""
    for line in (_content(tree, HOSTNAME) or b"").splitlines():
        word = line.strip()
        if word and not word.startswith(b"#"):
            name = word.decode(errors="replace")
            return name if HOST_NAME.fullmatch(name) else None
    return None


def _content(tree: TreeIO, path: str) -> bytes | None:
    """Read what is there, nothing if nothing; None of a link or worse, which is the container's."""
    try:
        return tree.read_bytes(path) if stat.S_ISREG(tree.lstat(path).st_mode) else None
    except FileNotFoundError:
        return b""
    except OSError:
        return None
