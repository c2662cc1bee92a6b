"""Debian's files as RPM packages: a system that boots, for repositories of tests."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.packages.rpm_archive import APPSTREAM, Rpm

GROUPS: Mapping[str, str] = {
    # RPM's names, and regular expressions for Debian's.
    "glibc": "libc6 libc-bin gcc-12-base libgcc-s1 libcrypt1",
    "bash": "bash dash libtinfo6 libncurses.* ncurses-.* libreadline8 readline-common",
    "coreutils": "coreutils findutils grep sed gzip diffutils debianutils hostname mawk less "
    "libacl1 libattr1 libgmp10 tar bsdutils",
    "shadow-utils": "passwd login libpam.* libaudit.* libsemanage.* libsepol2 libdb5.3",
    "util-linux": "util-linux.* mount libmount1 libblkid1 libuuid1 libsmartcols1 libfdisk1 "
    "sysvinit-utils e2fsprogs logsave libext2fs2 libss2 libcom-err2",
    "systemd-libs": "libsystemd0 libudev1 libsystemd-shared",
    "systemd": "systemd systemd-sysv libkmod2 libip4tc2 libargon2-1 libcryptsetup12 libjson-c5 "
    "libdevmapper1.02.1 dmsetup",
    "dbus": "dbus.* libdbus-1-3 libapparmor1 libexpat1",
    "iproute": "iproute2 libbpf1 libelf1 libmnl0 libxtables12 libtirpc.* libbsd0 libmd0",
    "iputils": "iputils-ping",
    "procps-ng": "procps libproc2-0",
    "libcap": "libcap2 libcap2-bin libcap-ng0",
    "tzdata": "tzdata",
    "ca-certificates": "ca-certificates openssl",
}
"""Everything else with a name in `lib` goes into `compat-libs`."""

LEFT_OUT = re.compile(
    r"/(usr/share/(doc|man|info|lintian|locale|bug|perl5?|debconf|oven)|usr/lib/(apt|dpkg|udev)|"
    r"usr/lib/x86_64-linux-gnu/(perl|gconv)|var/lib/(dpkg|apt|pam)|etc/apt)(/|$)|"
    r"/(run|dev|proc|sys|tmp|var/cache|var/log|var/tmp|root)/."
)

SETUP = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/nsswitch.conf",
         "/etc/pam.d/", "/etc/security/", "/etc/environment", "/etc/shells", "/etc/profile",
         "/etc/alternatives/", "/etc/protocols", "/etc/services", "/etc/bash.bashrc",
         "/etc/ld.so.", "/etc/localtime", "/etc/timezone")  # fmt: skip

DBUS_USER = """\
%pre -n NAME
getent group messagebus >/dev/null || groupadd -r messagebus
getent passwd messagebus >/dev/null ||
    useradd -r -g messagebus -d /nonexistent -s /usr/sbin/nologin -c "System Message Bus" messagebus
%post -n NAME
systemctl --no-reload enable dbus.socket dbus.service >/dev/null 2>&1 || :
%posttrans -n NAME
echo "scriptlets ran" > /usr/share/dbus-1/posttrans
"""


def system_packages(tree: Path) -> tuple[Rpm, ...]:
    """Cut a Debian tree, which must be one that is thrown away, into packages.

    Scriptlets make an account, links and caches that are taken out of the tree before.
    """
    _forget_dbus_user(tree)
    owners = _owners(tree)
    accounts = {table: _names(tree, table) for table in ("passwd", "group")}
    lines: dict[str, list[str]] = {name: [] for name in ("setup", "filesystem", "compat-libs")}
    for path in _walk(tree):
        status = (tree / path[1:]).lstat()
        group = _group(path, status, owners)
        if group:
            line = _line(path, status, accounts)
            lines.setdefault(group, []).append(line)
    return tuple(_packages(lines, _needs(tree)))


def _packages(lines: Mapping[str, list[str]], needs: Mapping[str, set[str]]) -> Iterator[Rpm]:
    extra = {
        "bash": "Provides: /bin/sh\nProvides: /usr/bin/sh",
        "dbus": "Requires(pre): shadow-utils\nRequires(post): systemd",
    }
    for name, files in lines.items():
        requires = {"basesystem", *needs.get(name, ())} - {name}
        if name in {"setup", "filesystem"}:
            requires = {"setup"} - {name}
        yield Rpm(
            name,
            version="9.1",
            arch="x86_64",
            requires=tuple(sorted(requires)),
            fields=extra.get(name, ""),
            scripts=DBUS_USER if name == "dbus" else "%post -n NAME -p /usr/sbin/ldconfig"
            if name == "compat-libs" else "",
            files=tuple(files),
            repository=APPSTREAM if name == "iputils" else Rpm.repository,
        )  # fmt: skip
    yield Rpm("basesystem", requires=("setup", "filesystem"))
    yield Rpm("glibc-minimal-langpack", requires=("glibc",))
    yield Rpm("rpm", requires=("bash",))
    yield Rpm("dnf", requires=("rpm",))
    if "ca-certificates" not in lines:
        yield Rpm("ca-certificates", requires=("coreutils",))
    yield Rpm(
        "rocky-release",
        requires=("setup",),
        content={"/etc/os-release": 'ID="rocky"\nNAME="Rocky Linux"\nVERSION_ID="9.1"\n'},
    )


def _forget_dbus_user(tree: Path) -> None:
    for name in ("passwd", "group", "shadow", "gshadow"):
        file = tree / "etc" / name
        rows = [row for row in file.read_text().splitlines() if not row.startswith("messagebus:")]
        file.write_text("\n".join(rows) + "\n")


def _walk(tree: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(tree):
        inside = "/" + str(Path(folder).relative_to(tree)).removeprefix(".")
        kept = []
        for name in sorted(folders):
            path = f"{inside.rstrip('/')}/{name}"
            if not LEFT_OUT.match(path):
                yield path
                if not (tree / path[1:]).is_symlink():
                    kept.append(name)
        folders[:] = kept
        for name in sorted(files):
            path = f"{inside.rstrip('/')}/{name}"
            if not LEFT_OUT.match(path):
                yield path


def _group(path: str, status: os.stat_result, owners: Mapping[str, str]) -> str | None:
    """Say which package has a path; folders and links of the root are the file system's."""
    if stat.S_ISDIR(status.st_mode) or path.count("/") == 1:
        return "filesystem"
    debian = owners.get(path)
    if debian is None:
        return "setup" if path.startswith(SETUP) or path.startswith("/usr/bin/") else None
    if path == "/etc/os-release" or path.startswith("/usr/lib/os-release"):
        return None
    return "setup" if debian in {"base-files", "base-passwd", "netbase"} else _of_debian(debian)


def _line(path: str, status: os.stat_result, names: Mapping[str, Mapping[int, str]]) -> str:
    user, group = names["passwd"][status.st_uid], names["group"].get(status.st_gid, "root")
    quoted = f'"{path}"'
    if stat.S_ISLNK(status.st_mode):
        return f"%attr(-,{user},{group}) {quoted}"
    attributes = f"%attr({stat.S_IMODE(status.st_mode):04o},{user},{group})"
    if stat.S_ISDIR(status.st_mode):
        return f"%dir {attributes} {quoted}"
    config = "%config(noreplace) " if path.startswith("/etc/") else ""
    caps = "%caps(cap_net_raw=ep) " if path.endswith("/ping") else ""
    return f"{config}{caps}{attributes} {quoted}"


def _names(tree: Path, table: str) -> dict[int, str]:
    rows = [row.split(":") for row in (tree / "etc" / table).read_text().splitlines()]
    return {int(row[2]): row[0] for row in rows}


def _owners(tree: Path) -> dict[str, str]:
    """Tell which Debian package a path is of, as paths are after the merge of /usr."""
    owners = {}
    for listed in sorted((tree / "var/lib/dpkg/info").glob("*.list")):
        name = listed.name.removesuffix(".list").partition(":")[0]
        for path in listed.read_text().splitlines():
            top = path[1:].partition("/")[0]
            owners[f"/usr{path}" if top in {"bin", "sbin", "lib", "lib64"} else path] = name
    return owners


def _needs(tree: Path) -> dict[str, set[str]]:
    """Tell what packages need one another, by Debian's own fields."""
    shown = "-f=${Package}\\t${Pre-Depends}, ${Depends}\\n"
    argv = ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "-W", shown]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    known = {row[0]: _of_debian(row[0]) for row in rows}
    needs: dict[str, set[str]] = {}
    for name, depends in rows:
        wanted = {known.get(other) for other in re.findall(r"[a-z0-9][a-z0-9+.-]+", depends)}
        if (group := known[name]) is not None:
            needs.setdefault(group, set()).update(other for other in wanted if other)
    return needs


def _of_debian(name: str) -> str | None:
    for group, patterns in GROUPS.items():
        if any(re.fullmatch(pattern, name) for pattern in patterns.split()):
            return group
    return "compat-libs" if name.startswith(("lib", "zlib")) and "perl" not in name else None
