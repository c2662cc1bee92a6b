"""A small signed archive, made with Debian's own tools and served with faults on demand."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DATES = (
    "Sat, 01 Jun 2024 12:00:00 UTC",
    "Sun, 02 Jun 2024 12:00:00 UTC",
    "Mon, 03 Jun 2024 12:00:00 UTC",
    "Mon, 03 Jun 2024 12:00:00 UTC",
)
"""Of the pockets of a suite, of which there are four at most."""

EPOCH = 1717416000
"""The newest of the dates."""


@dataclass(frozen=True)
class Layout:
    """How a distribution lays its archives out."""

    origin: str = "Debian"
    parts: Mapping[str, str] = field(
        default_factory=lambda: {
            "bookworm": "debian",
            "bookworm-updates": "debian",
            "bookworm-security": "debian-security",
        }
    )
    """For each pocket the folder of its archive."""
    components: tuple[str, ...] = ("main",)
    own_codenames: bool = True
    """Whether a pocket has a code name of its own; Ubuntu's have a suite of their own."""
    arches: tuple[str, ...] = ("amd64",)
    unasked: str = ""
    """The pocket that nothing is taken from by itself, such as backports."""

    @classmethod
    def with_backports(cls) -> "Layout":
        """Debian's, and what was ported back, for two architectures."""
        parts = {**cls().parts, "bookworm-backports": "debian"}
        return cls(parts=parts, arches=("amd64", "i386"), unasked="bookworm-backports")

    @classmethod
    def merged(
        cls, origin: str, suite: str, folder: str, *, own_codenames: bool = True
    ) -> "Layout":
        """All pockets in one archive, and with a second component, as Ubuntu and Devuan do it."""
        pockets = (suite, f"{suite}-updates", f"{suite}-security")
        parts = dict.fromkeys(pockets, folder)
        return cls(origin, parts, ("main", "universe"), own_codenames)


@dataclass(frozen=True)
class Deb:
    """A package to put into the archive; `fields` are further lines of its control file."""

    name: str
    fields: str = ""
    version: str = "1.0"
    arch: str = "all"
    suite: str = "bookworm"
    component: str = "main"
    payload: int = 0
    """How many random bytes it carries."""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Maintainer scripts and other control files: `postinst` and what it is."""
    tree: Path | None = None
    """A folder with its files."""


PACKAGES = (
    Deb("base-files", "Essential: yes\nPriority: required\nPre-Depends: awk", "12.4+deb12u1"),
    Deb("mawk", "Provides: awk", arch="amd64"),
    Deb("login", "Priority: required\nDepends: libtiny (>= 1)"),
    Deb("libtiny", "Priority: optional", arch="amd64"),
    Deb("libtiny", "Priority: optional", "1.1~u1", "amd64", "bookworm-security"),
    Deb("apt", "Priority: important\nDepends: libapt", "1:2.6", "amd64"),
    Deb("libapt", "", "2.6", "amd64"),
    Deb("web", "Depends: libweb, mail-agent | cron\nRecommends: web-docs", payload=400_000),
    Deb("libweb", payload=50_000),
    Deb("web-docs"),
    Deb("cron"),
    Deb("postfix", "Provides: mail-agent\nConflicts: exim"),
    Deb("exim", "Provides: mail-agent\nConflicts: postfix"),
    Deb("needy", "Depends: libtiny (>= 1.1~)"),
    Deb("torn", "Depends: nowhere (>= 2)"),
    Deb("tzdata", "", "2024a", "all", "bookworm"),
    Deb("tzdata", "", "2024b", "all", "bookworm-updates"),
)


def short(folder: Path) -> Path:
    """Give a short name for a folder of keys; a link that stays until it is taken away.

    The name of the socket of gpg's agent in it has at most 107 bytes (unix(7)).
    """
    link = Path(f"/tmp/oven-gpg-{zlib.crc32(os.fsencode(folder)):08x}")
    with contextlib.suppress(FileExistsError):
        link.symlink_to(folder)
    return link


class Archive:
    """Archives below a folder, by default Debian's two, and the keys that they are signed with."""

    def __init__(self, root: Path, layout: Layout | None = None) -> None:
        self.root = root
        self.layout = layout or Layout()
        self.gnupg = root / "gnupg"
        weakref.finalize(self, short(self.gnupg).unlink, missing_ok=True)
        self.keyring = root / "keyring.gpg"

    @classmethod
    def make(
        cls,
        root: Path,
        packages: Sequence[Deb] = PACKAGES,
        layout: Layout | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> "Archive":
        """Build the packages, index and sign them.

        `files` are packages that are there already, by their names; they belong to the suite.
        """
        archive = cls(root, layout)
        archive.gnupg.mkdir(parents=True, mode=0o700)
        archive.gpg("--quick-generate-key", "archive@example.invalid", "ed25519", "sign", "never")
        archive.gpg("--quick-generate-key", "stranger@example.invalid", "ed25519", "sign", "never")
        keys = archive.gpg("--export", "archive@example.invalid")
        archive.keyring.write_bytes(keys)
        for deb in packages:
            archive._build(deb)
        first = next(iter(archive.layout.parts))
        for name, file in (files or {}).items():
            os.link(file, archive._pool(first, "main") / name)
        for suite in archive.layout.parts:
            archive.index(suite)
        subprocess.run(
            ["gpgconf", "--homedir", short(archive.gnupg), "--kill", "gpg-agent"], check=True
        )
        return archive

    def publish(self, *packages: Deb) -> None:
        """Add packages, as an archive that moves on does."""
        for deb in packages:
            self._build(deb)
        for suite in {deb.suite for deb in packages}:
            self.index(suite)
        subprocess.run(
            ["gpgconf", "--homedir", short(self.gnupg), "--kill", "gpg-agent"], check=True
        )

    def grown(self, root: Path, *packages: Deb) -> "Archive":
        """Make a copy that has some more packages, signed with the same key."""
        subprocess.run(["cp", "-a", self.root, root], check=True)
        copy = Archive(root)
        copy.publish(*packages)
        return copy

    @property
    def fingerprint(self) -> str:
        """Of the key that the archive is signed with."""
        listed = self.gpg("--with-colons", "--list-keys", "archive@example.invalid").decode()
        found = re.search(r"^fpr:+([0-9A-F]{40}):", listed, re.MULTILINE)
        assert found
        return found[1]

    def part(self, suite: str) -> Path:
        """Give the root of the archive that a suite is in."""
        return self.root / self.layout.parts[suite]

    def in_release(self, suite: str = "bookworm") -> Path:
        """Give the signed index of a suite."""
        return self.part(suite) / "dists" / suite / "InRelease"

    def sign(self, release: bytes, *, user: str = "archive@example.invalid") -> bytes:
        """Sign a Release file within itself."""
        try:
            return self.gpg("--local-user", user, "--clearsign", stdin=release)
        finally:
            subprocess.run(
                ["gpgconf", "--homedir", short(self.gnupg), "--kill", "gpg-agent"], check=True
            )

    def release(self, suite: str = "bookworm") -> bytes:
        """Give a Release file that is not signed yet."""
        return (self.part(suite) / "dists" / suite / "Release").read_bytes()

    def gpg(self, *argv: str, stdin: bytes = b"") -> bytes:
        """Run gpg with keys of our own, which have no passphrase."""
        return _run(
            ("gpg", "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase=", *argv),
            stdin=stdin,
            env={**os.environ, "GNUPGHOME": str(short(self.gnupg))},
        )

    def _build(self, deb: Deb) -> None:
        tree = self.root / "work" / f"{deb.name}_{deb.version}_{deb.arch}"
        (tree / "DEBIAN").mkdir(parents=True)
        priority = "" if "Priority:" in deb.fields else "Priority: optional\n"
        control = (
            f"Package: {deb.name}\nVersion: {deb.version}\nArchitecture: {deb.arch}\n"
            f"Maintainer: Nobody <nobody@example.invalid>\n{priority}"
            f"{deb.fields}{chr(10) if deb.fields else ''}Description: {deb.name}\n"
        )
        (tree / "DEBIAN/control").write_text(control)
        for name, text in deb.scripts.items():
            (tree / "DEBIAN" / name).write_text(text)
            (tree / "DEBIAN" / name).chmod(0o755 if text.startswith("#!") else 0o644)
        if deb.tree:
            shutil.copytree(deb.tree, tree, symlinks=True, dirs_exist_ok=True)
        if deb.payload:
            (tree / "payload").write_bytes(os.urandom(deb.payload))
        file = f"{deb.name}_{deb.version.partition(':')[2] or deb.version}_{deb.arch}.deb"
        pool = self._pool(deb.suite, deb.component)
        _run(("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(pool / file)))

    def _pool(self, suite: str, component: str) -> Path:
        pool = self.part(suite) / "pool" / component / suite
        pool.mkdir(parents=True, exist_ok=True)
        return pool

    def index(self, suite: str, told: Callable[[bytes], bytes] = bytes) -> None:
        """Write and sign the index of a suite, as its packages are now.

        `told` makes what it says of them into what it shall say.
        """
        part, layout = self.part(suite), self.layout
        folder = part / "dists" / suite
        for component in layout.components:
            self._pool(suite, component)
            pool = f"pool/{component}/{suite}"
            for arch in layout.arches:
                binary = folder / component / f"binary-{arch}"
                binary.mkdir(parents=True, exist_ok=True)
                of_one = (f"--arch={arch}",) if len(layout.arches) > 1 else ()
                found = _run(("apt-ftparchive", *of_one, "packages", pool), cwd=part)
                (binary / "Packages").write_bytes(told(found))
        options = {
            "Origin": layout.origin,
            "Suite": suite,
            "Codename": suite if layout.own_codenames else suite.partition("-")[0],
            "Architectures": " ".join(layout.arches),
            "Components": " ".join(layout.components),
        }
        if suite == layout.unasked:
            options |= {"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"}
        settings = [f"-oAPT::FTPArchive::Release::{name}={text}" for name, text in options.items()]
        release = _run(("apt-ftparchive", *settings, "release", str(folder))).decode()
        date = dict(zip(layout.parts, DATES, strict=False))[suite]
        release = re.sub(r"^Date: .*$", f"Date: {date}", release, flags=re.MULTILINE)
        (folder / "Release").write_text(release)
        (folder / "InRelease").write_bytes(self.sign(release.encode()))


def _run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> bytes:
    done = subprocess.run(argv, input=stdin, capture_output=True, env=env, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class Fault:
    """What goes wrong with a file; `times` is how often, by default always."""

    status: int = 200
    body: bytes | None = None
    """Served in place of the file."""
    cut: int | None = None
    """After how many bytes of the answer the connection is closed."""
    no_ranges: bool = False
    wait: threading.Event | None = None
    """What the answer waits for, ten seconds at most."""
    times: int = 1_000_000


@dataclass
class Mirror:
    """A server of an archive on the loopback interface."""

    root: Path
    url: str
    faults: dict[str, Fault] = field(default_factory=dict)
    """By the path's end."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range of everything that was asked for."""
    proxied_for: list[str] = field(default_factory=list)
    """The hosts that it was asked for as a proxy."""

    @property
    def urls(self) -> dict[str, tuple[str, ...]]:
        """What a user's settings would say."""
        return {name: (f"{self.url}/{name}",) for name in ("debian", "debian-security")}

    def asked(self, end: str) -> list[str]:
        """Give the Range (empty if none) of every request for a file."""
        return [ranged for path, ranged in self.requests if path.endswith(end)]

    def take_fault(self, path: str) -> Fault:
        """Say what goes wrong with this request."""
        for end, fault in self.faults.items():
            if path.endswith(end) and fault.times > 0:
                fault.times -= 1
                return fault
        return Fault()


@contextlib.contextmanager
def serve(root: Path) -> Iterator[Mirror]:
    """Serve a folder until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, mirror)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client may be killed in the middle; that is no fault of ours."""

    server = Server(("127.0.0.1", 0), Handler)
    mirror = Mirror(root, f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    path = request.path.partition("?")[0].replace("%2b", "+").replace("%7e", "~")
    if path.startswith("http://"):  # we are its proxy (RFC 9112, section 3.2.2)
        host, _, path = path.removeprefix("http://").partition("/")
        mirror.proxied_for.append(host)
    ranged = request.headers.get("Range", "")
    mirror.requests.append((path, ranged))
    fault = mirror.take_fault(path)
    file = mirror.root / path.lstrip("/")
    if fault.wait:
        fault.wait.wait(10)
    if fault.status != 200 or not file.is_file():
        request.send_response(fault.status if fault.status != 200 else 404)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    body = fault.body if fault.body is not None else file.read_bytes()
    start = re.fullmatch(r"bytes=(\d+)-", ranged)
    offset = int(start[1]) if start and not fault.no_ranges else 0
    request.send_response(206 if offset else 200)
    if offset:
        request.send_header("Content-Range", f"bytes {offset}-{len(body) - 1}/{len(body)}")
    request.send_header("Content-Length", str(len(body) - offset))
    request.end_headers()
    with contextlib.suppress(ConnectionError):
        request.wfile.write(body[offset:][: fault.cut])
    request.close_connection = fault.cut is not None


def dead_url() -> str:
    """Give the URL of a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
