"""A Debian so small that a whole build takes a second, made of this machine's own programs."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.builds.rules import broken_rules, strays
from tests.support.faults.operations import Choice, Seen, nothing, watch
from tests.support.oven import CHECKOUT, Oven
from tests.support.packages.archive import Archive, Deb, Mirror

DPKG = (
    "dpkg", "dpkg-deb", "dpkg-divert", "dpkg-query", "dpkg-split", "dpkg-statoverride",
    "dpkg-trigger", "update-alternatives", "start-stop-daemon", "ldconfig", "tar", "diff",
)  # fmt: skip
SHELL = (
    "sh", "dash", "cat", "chmod", "chown", "cp", "dd", "echo", "env", "false", "grep", "head", "id",
    "install", "ln", "ls", "mkdir", "mknod", "mount", "mv", "nsenter", "ps", "readlink", "rm",
    "rmdir", "sed", "setsid", "sleep", "stat", "sync", "tail", "test", "touch", "true", "umount",
    "uname", "chroot", "wc",
)  # fmt: skip
APT = ("apt-get", "apt-mark", "apt-cache", "apt-config")
APT_FOLDERS = (
    "etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/log/apt",
    "var/lib/apt/lists/partial", "var/cache/apt/archives/partial",
)  # fmt: skip
APT_METHODS = ("file", "copy", "store")
PERL = ("perl",)
"""For what a shell cannot do, such as to try a system call."""

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\ndaemon:x:1:\nshadow:x:42:\nnogroup:x:65534:\n"
SHADOW = "root:*:19000:0:99999:7:::\n"

RECIPE = """\
[template]
name = "{name}"
summary = "A system that is hardly one"

[base]
distro = "debian"
suite = "bookworm"

[packages]
install = [{packages}]
"""

QUIET = {"PYTHONDONTWRITEBYTECODE": "1"}
"""So that compiled modules are not among what a command writes."""

SCRIPTED = {"postinst": '#!/bin/sh\nset -e\necho "made by $1" > /etc/scripted\n'}
"""The maintainer scripts of the package `scripted`."""


def packages(folder: Path) -> tuple[Deb, ...]:
    """Make the packages of a system that dpkg can configure, out of this machine's files."""
    files = _lay(folder / "files", ("etc/passwd", PASSWD), ("etc/group", GROUP))
    _lay(files, ("etc/shadow", SHADOW), ("etc/motd", "hello\n"))
    (files / "etc/shadow").chmod(0o640)
    for name in ("dev", "proc", "run", "sys", "tmp", "var/lib/dpkg", "mnt", "root", "var/tmp"):
        (files / name).mkdir(parents=True)
    for table in ("abitable", "cputable", "ostable", "tupletable"):
        _copy(Path("/usr/share/dpkg", table), folder / "dpkg", None)
    docs = _lay(folder / "docs", *((f"usr/share/doc/{n}/about", f"{n}\n") for n in range(4)))
    extra = _lay(folder / "extra", ("etc/extra.conf", "x = 1\n"), ("usr/share/extra", "y" * 9000))
    for name in APT_FOLDERS:
        (folder / "apt" / name).mkdir(parents=True)
    methods = [f"/usr/lib/apt/methods/{name}" for name in APT_METHODS]
    return (
        Deb("base-files", "Essential: yes\nPriority: required", "12.4", "amd64", tree=files),
        Deb("dpkg", "Essential: yes\nPriority: required", arch="amd64", tree=programs(
            folder / "dpkg", (*DPKG, *SHELL, *PERL))),
        Deb("apt", "Priority: important", arch="amd64", tree=programs(
            folder / "apt", (*APT, *methods), without=folder / "dpkg")),
        Deb("docs", "Priority: required", tree=docs),
        Deb("plain", tree=extra),
        Deb("scripted", "Depends: plain", scripts=SCRIPTED),
    )  # fmt: skip


def configure(home: Path, mirrors: Iterable[Mirror], archive: Archive) -> dict[str, str]:
    """Write the settings of a user whose packages come from there; give the environment."""
    folder = home / "config"
    (folder / "oven").mkdir(parents=True, exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    lines = []
    for name in ("debian", "debian-security"):
        urls = ", ".join(f'"{mirror.url}/{name}"' for mirror in mirrors)
        lines += [f"[archive.{name}]", f"mirrors = [{urls}]", f'keyring = "{archive.keyring}"']
    (folder / "oven/settings.toml").write_text("\n".join(lines) + "\n")
    return {"XDG_CONFIG_HOME": str(folder), "TMPDIR": str(home / "tmp")} | QUIET


def small_recipe(folder: Path, *packages: str, name: str = "small", more: str = "") -> Path:
    """Write a recipe that installs some packages; give its path."""
    path = folder / "recipes" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f'"{package}"' for package in packages)
    path.write_text(RECIPE.format(name=name, packages=listed) + more)
    overlay = path.parent / name / "overlay/etc"
    overlay.mkdir(parents=True, exist_ok=True)
    (overlay / "issue.j2").write_text("this is {{ template.name }}\n")
    return path


def _lay(folder: Path, *files: tuple[str, str]) -> Path:
    for name, text in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def programs(folder: Path, names: Iterable[str], *, without: Path | None = None) -> Path:
    """Copy programs with the libraries that they need."""
    for name in names:
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert found, f"{name} is not on this machine"
        _copy(Path(found), folder, without)
        said = subprocess.run(["ldd", found], capture_output=True, text=True).stdout
        for library in re.findall(r"(?:=> )?(/\S+) \(0x", said):
            _copy(Path(library), folder, without)
    return folder


def _copy(path: Path, folder: Path, without: Path | None) -> None:
    """Copy a file to where a merged /usr has it, under the name that it goes by."""
    parent = Path("/usr") / path.parent.relative_to("/")
    inside = path.parent.resolve() if path.parent.resolve().is_relative_to("/usr") else parent
    name = (inside / path.name).relative_to("/")
    if without and (without / name).exists():
        return
    if not (folder / name).exists():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)


@dataclass(frozen=True)
class World:
    """A command with a home of its own, a recipe, and a folder for what is built."""

    oven: Oven
    folder: Path
    archive: Archive
    mirror: Mirror

    @property
    def home(self) -> Path:
        return self.oven.home

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def recipe(self) -> Path:
        return self.folder / "recipes/small.toml"

    @property
    def line(self) -> list[str]:
        """The one command that is disturbed in all ways."""
        recipe = str(self.recipe)
        return self.oven.line("build", "--no-probe", "--explain", "-o", self.out, recipe)

    def build(self, choose: Choice = nothing) -> Seen:
        """Run it to its end, whatever that is."""
        return watch(self.line, self.oven.environment, CHECKOUT, choose, below=self.folder)

    def sha256(self) -> str:
        """Build undisturbed, and give the hash of what has come out."""
        done = subprocess.run(
            self.line, env=self.oven.environment, cwd=CHECKOUT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return hashlib.sha256((self.out / "small_amd64.tar.zst").read_bytes()).hexdigest()

    def save(self) -> Path:
        """Copy all that it knows; gives the copy."""
        saved = self.folder.with_name(f"{self.folder.name}.saved")
        subprocess.run(["cp", "-a", self.folder, saved], check=True)
        return saved

    def restore(self, saved: Path) -> None:
        """Go back to what it knew then."""
        shutil.rmtree(self.folder)
        subprocess.run(["cp", "-a", saved, self.folder], check=True)

    def wrong(self) -> list[str]:
        """Say what is wrong once all is over."""
        return broken_rules(self.home) + strays(self.home, self.out)


def small_world(folder: Path, archive: Archive, mirror: Mirror, *wanted: str) -> World:
    """Make a home that knows nothing yet, below a folder that is new."""
    folder.mkdir(parents=True)
    home = folder / "home"
    home.mkdir()
    environment = configure(home, [mirror], archive)
    small_recipe(folder, *(wanted or ("plain", "scripted")))
    return World(Oven(home, env=environment), folder, archive, mirror)
