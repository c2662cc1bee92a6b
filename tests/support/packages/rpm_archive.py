"""RPM repositories made with RPM's own tools, signed, in the layout of Rocky Linux's archive."""

import os
import re
import shutil
import subprocess
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.support.packages.archive import short

BASEOS = "9/BaseOS/x86_64/os"
APPSTREAM = "9/AppStream/x86_64/os"

EPOCH = 1717416000
"""When every package and repository was made."""


@dataclass(frozen=True)
class Rpm:
    """A package to put into a repository."""

    name: str
    version: str = "1.0"
    release: str = "1"
    arch: str = "noarch"
    requires: tuple[str, ...] = ()
    fields: str = ""
    """Further lines of its part of the spec file."""
    scripts: str = ""
    """Sections such as `%post`, with `NAME` for its own name."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Text files by path; what begins with `#!` is executable."""
    files: tuple[str, ...] = ()
    """Lines of `%files` for what is found in a tree, and for content that is more than a file."""
    repository: str = BASEOS


DIRS = ("/usr", "/usr/bin", "/usr/share", "/etc", "/var", "/var/lib", "/var/tmp", "/tmp", "/root")

MINIMUM = (
    Rpm("setup", content={
        "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\n",
        "/etc/shadow": "root:*:19000:0:99999:7:::\n",
    }),
    Rpm(
        "filesystem",
        requires=("setup",),
        files=(*(f"%dir %attr(0755,root,root) {path}" for path in DIRS),
               *(f"%dir %attr(0555,root,root) {path}" for path in ("/proc", "/sys")),
               "%dir %attr(0755,root,root) /dev"),
    ),
    Rpm("basesystem", requires=("filesystem",)),
    Rpm("bash", requires=("glibc-minimal-langpack",), fields="Provides: /bin/sh"),
    Rpm("coreutils", requires=("libtiny >= 1",)),
    Rpm("glibc-minimal-langpack"),
    Rpm("rocky-release", content={"/etc/os-release": 'ID="rocky"\nVERSION_ID="9"\n'}),
    Rpm("rpm"),
    Rpm("dnf", requires=("rpm",)),
    Rpm("shadow-utils"),
    Rpm("ca-certificates"),
    Rpm("tzdata", version="2024a"),
    Rpm("libtiny", arch="x86_64", content={"/usr/share/libtiny": "one\n"}),
    Rpm("libtiny", "1.1~rc1", arch="x86_64", content={"/usr/share/libtiny": "two\n"}),
)  # fmt: skip
"""What Rocky Linux's minimum wants to have, almost without content."""


class RpmArchive:
    """Repositories below `pub/`, and the keys that they are signed with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pub = root / "pub"
        self.gnupg = root / "gnupg"
        weakref.finalize(self, short(self.gnupg).unlink, missing_ok=True)
        self.keyring = root / "keyring.gpg"
        self._specs = count()

    @classmethod
    def make(cls, root: Path, packages: Sequence[Rpm], *, tree: Path | None = None) -> "RpmArchive":
        """Build the packages, some of them of the files of a tree; sign and index them."""
        archive = cls(root)
        archive.gnupg.mkdir(parents=True, mode=0o700)
        for user in ("archive", "stranger"):
            archive.gpg(
                "--quick-generate-key", f"{user}@example.invalid", "rsa2048", "sign", "never"
            )
        archive.keyring.write_bytes(archive.gpg("--export", "archive@example.invalid"))
        for folder in (BASEOS, APPSTREAM):
            (archive.pub / folder / "Packages").mkdir(parents=True)
        # In one spec a name is there once.
        left = list(packages)
        while left:
            first = {package.name: package for package in reversed(left)}
            archive.build(list(first.values()), tree=tree)
            left = [package for package in left if first[package.name] is not package]
        for folder in (BASEOS, APPSTREAM):
            archive.index(folder)
        return archive

    @property
    def fingerprint(self) -> str:
        """Of the key that the archive is signed with."""
        listed = self.gpg("--with-colons", "--list-keys", "archive@example.invalid").decode()
        found = re.search(r"^fpr:+([0-9A-F]{40}):", listed, re.MULTILINE)
        assert found
        return found[1]

    def package(self, name: str) -> Path:
        """Give the newest file of a package."""
        return max(self.pub.glob(f"*/*/*/*/Packages/{name}-[0-9]*.rpm"))

    def build(
        self, packages: Sequence[Rpm], *, tree: Path | None = None, signer: str | None = "archive"
    ) -> list[Path]:
        """Build packages with rpmbuild, sign them, and put them where they belong."""
        work = self.root / f"work{next(self._specs)}"
        work.mkdir()
        for package in packages:
            _write_content(package, work / "content")
        (work / "oven-test.spec").write_text(_spec(packages, work, tree))
        macros = {
            "_topdir": work, "_rpmdir": work / "out", "_build_id_links": "none",
            "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            "_binary_payload": "w1.gzdio", "__os_install_post": "%{nil}",
            "use_source_date_epoch_as_buildtime": "1", "_buildhost": "build.example.invalid",
            "clamp_mtime_to_source_date_epoch": "1",
            "_unpackaged_files_terminate_build": "0",
        }  # fmt: skip
        defines = [f"--define={name} {text}" for name, text in macros.items()]
        spec = str(work / "oven-test.spec")
        argv = ["rpmbuild", "-bb", "--quiet", f"--buildroot={work / 'root'}", *defines, spec]
        self._run(argv, SOURCE_DATE_EPOCH=str(EPOCH))
        made = sorted((work / "out").glob("*.rpm"))
        if signer:
            self.sign(made, signer)
        folders = {package.name: package.repository for package in packages}
        placed = []
        for file in made:
            name = file.name.rsplit("-", 2)[0]
            target = self.pub / folders[name] / "Packages" / file.name
            shutil.move(file, target)
            os.utime(target, (EPOCH, EPOCH))
            placed.append(target)
        shutil.rmtree(work)
        return placed

    def sign(self, files: Iterable[Path], user: str) -> None:
        """Sign packages; an earlier signature is replaced."""
        name = f"--define=_gpg_name {user}@example.invalid"
        program = f"--define=__gpg {shutil.which('gpg')}"
        self._run(["rpmsign", name, program, "--resign", *map(str, files)])
        self._end_agent()

    def index(self, folder: str, *, signer: str | None = "archive") -> None:
        """Write a repository's metadata, and sign it."""
        root = self.pub / folder
        shutil.rmtree(root / "repodata", ignore_errors=True)
        argv = ["createrepo_c", "--quiet", "--set-timestamp-to-revision", f"--revision={EPOCH}"]
        if (groups := self.root / "comps.xml").exists():
            argv.append(f"--groupfile={groups}")
        self._run([*argv, str(root)])
        if signer:
            self.sign_index(folder, signer)

    def sign_index(self, folder: str, user: str) -> None:
        """Sign a repository's metadata."""
        repomd = self.pub / folder / "repodata/repomd.xml"
        options = ("--local-user", f"{user}@example.invalid", "--armor", "--yes")
        self.gpg(*options, "--detach-sign", str(repomd))
        self._end_agent()

    def gpg(self, *argv: str) -> bytes:
        """Run gpg with keys of our own, which have no passphrase."""
        options = ("--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase=")
        return self._run(("gpg", *options, *argv))

    def _end_agent(self) -> None:
        self._run(["gpgconf", "--homedir", str(short(self.gnupg)), "--kill", "gpg-agent"])

    def _run(self, argv: Sequence[str], **env: str) -> bytes:
        home = {"GNUPGHOME": str(short(self.gnupg)), "HOME": str(self.root), **env}
        done = subprocess.run(argv, capture_output=True, env={**os.environ, **home}, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()[-3000:]
        return done.stdout


def _write_content(package: Rpm, folder: Path) -> None:
    for path, text in package.content.items():
        file = folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)


def _spec(packages: Sequence[Rpm], work: Path, tree: Path | None) -> str:
    """Write a spec file with one package that is not made, and those that are as its parts."""
    folders = " ".join(
        line.split()[-1]
        for package in packages
        for line in package.files
        if line.startswith("%dir") and tree is None
    )
    copies = [f"mkdir -p %{{buildroot}} {work}/content"]
    copies += [f"cd %{{buildroot}} && for d in {folders}; do mkdir -p .$d; done"] if folders else []
    copies += [f"cp -a {tree}/. %{{buildroot}}/"] if tree else []
    # A file replaces a link of its name, and is not written to where that leads.
    copies += [f"cp -a --remove-destination {work}/content/. %{{buildroot}}/"]
    head = (
        "Name: oven-test\nVersion: 1\nRelease: 1\nSummary: none\nLicense: none\n"
        "%description\nnone\n%install\n" + "\n".join(copies) + "\n"
    )
    return head + "\n".join(_part(package, work) for package in packages)


def _part(package: Rpm, work: Path) -> str:
    listed = work / f"{package.name}.files"
    own = [
        f"%attr({'0755' if text.startswith('#!') else '0644'},root,root) {path}"
        for path, text in package.content.items()
        if not any(line.split()[-1] == path for line in package.files)
    ]
    # A script is told from the rest of the spec by its first word.
    listed.write_text("\n".join((*package.files, *own)) + "\n")
    return "\n".join((
        f"%package -n {package.name}",
        f"Version: {package.version}\nRelease: {package.release}\nSummary: {package.name}",
        "BuildArch: noarch" if package.arch == "noarch" else "",
        "AutoReqProv: no",
        *(f"Requires: {one}" for one in package.requires),
        package.fields,
        f"%description -n {package.name}\nA package for tests.",
        package.scripts.replace("NAME", package.name),
        f"%files -n {package.name} -f {listed}" if listed.read_text().strip()
        else f"%files -n {package.name}",
        "",
    ))  # fmt: skip
