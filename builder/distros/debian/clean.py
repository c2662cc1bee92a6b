"""What a Debian tree must not carry into a template, each with the reason why."""

from typing import Literal

from builder.model.value import Value

Action = Literal["remove", "empty", "unlist"]
"""`empty` keeps a file with its mode and owner, for programs that want it to be there; `unlist`
takes away a folder's access control lists (acl(5))."""


class Rule(Value, frozen=True):
    """Paths to clean; `*` stands for anything within one name, `**` for all below a folder.

    `**` matches files and links, not folders: packages own the folders, with their modes.
    """

    path: str
    action: Action
    reason: str


IDENTITY: tuple[Rule, ...] = (
    Rule("etc/hostname", "remove", "the build's; a container gets its own from the runtime"),
    Rule("etc/resolv.conf", "remove", "the build host's name servers; the runtime writes it"),
    Rule("var/lib/dbus/machine-id", "remove", "tmpfiles.d/dbus.conf links it to /etc/machine-id"),
    Rule("etc/ssh/ssh_host_*_key", "remove", "a shared host key lets one guest pose as another"),
    Rule("etc/ssh/ssh_host_*_key.pub", "remove", "the public halves of the above"),
    Rule("etc/ssl/private/ssl-cert-snakeoil.key", "remove", "made by ssl-cert's postinst"),
    Rule("etc/ssl/certs/ssl-cert-snakeoil.pem", "remove", "belongs to the key above"),
    Rule("etc/bind/rndc.key", "remove", "made by bind9's postinst: it controls the name server"),
    Rule("var/lib/rabbitmq/.erlang.cookie", "remove", "whoever knows it owns the whole cluster"),
    Rule("var/lib/systemd/random-seed", "remove", "systemd:docs/BUILDING_IMAGES.md"),
    Rule("var/lib/systemd/credential.secret", "remove", "systemd:docs/BUILDING_IMAGES.md"),
    Rule("var/lib/urandom/random-seed", "remove", "the same, of sysvinit"),
    Rule("var/cache/debconf/passwords.dat", "empty", "answers that maintainer scripts hold secret"),
)
"""What two containers of one template must never share."""

RULES: tuple[Rule, ...] = (
    *IDENTITY,
    # Traces of the build: never the same twice, and no business of a container.
    Rule("dev/*", "remove", "the runtime mounts its own"),
    Rule("proc/*", "remove", "a mount point"),
    Rule("sys/*", "remove", "a mount point"),
    Rule("run/*", "remove", "lives until the next boot only"),
    Rule("tmp/*", "remove", "lives until the next boot only"),
    Rule("var/tmp/*", "remove", "left behind by maintainer scripts"),
    Rule("root/.bash_history", "remove", "what somebody typed"),
    Rule("root/.*_history", "remove", "what somebody typed"),
    Rule("root/.lesshst", "remove", "what somebody looked for"),
    Rule("root/.viminfo", "remove", "what somebody edited"),
    Rule("root/.wget-hsts", "remove", "where something was downloaded from"),
    Rule("root/.cache", "remove", "can be made again"),
    Rule("root/.gnupg", "remove", "apt-key and gpg leave keys and seeds here"),
    Rule("var/log/dpkg.log", "remove", "times of the build; dpkg makes it again"),
    Rule("var/log/alternatives.log", "remove", "times of the build"),
    Rule("var/log/bootstrap.log", "remove", "debootstrap's"),
    Rule("var/log/fontconfig.log", "remove", "times of the build"),
    Rule("var/log/apt/*", "remove", "times of the build; apt makes them again"),
    Rule("var/log/journal/*", "remove", "the folder is named after a machine-id"),
    Rule(
        "var/log/journal", "unlist", "tmpfiles.d/systemd.conf sets it at each boot, where it can be"
    ),
    Rule("var/log/README", "remove", "a link that tmpfiles.d makes at boot"),
    # The others are emptied: a daemon that is not root may be unable to make its own again.
    Rule("var/log/**", "empty", "times of the build"),
    # Caches that are made again when they are missed.
    Rule("var/lib/apt/lists/**", "remove", "old before the template is used; `apt-get update`"),
    Rule("var/lib/apt/lists/auxfiles", "remove", "a folder that apt makes when it installs"),
    Rule("var/cache/apt/**", "remove", "packages and indexes that apt makes again"),
    Rule("var/cache/ldconfig/aux-cache", "remove", "holds inode numbers and times"),
    Rule("var/cache/man/**", "remove", "man-db's timer makes it again"),
    Rule("var/cache/fontconfig/**", "remove", "holds times; fontconfig makes it again"),
    Rule("usr/share/mime/mime.cache~", "remove", "a backup"),
    Rule("etc/aliases.db", "remove", "Berkeley DB puts a random id into it; made at first boot"),
    # Backups and locks of the tools that installed.
    Rule("etc/passwd-", "remove", "a backup"),
    Rule("etc/group-", "remove", "a backup"),
    Rule("etc/shadow-", "remove", "a backup, with dates"),
    Rule("etc/gshadow-", "remove", "a backup"),
    Rule("etc/subuid-", "remove", "a backup"),
    Rule("etc/subgid-", "remove", "a backup"),
    Rule("etc/.pwd.lock", "remove", "a lock"),
    Rule("etc/.resolv.conf.systemd-resolved.bak", "remove", "the build host's name servers"),
    Rule("var/cache/debconf/*-old", "remove", "a backup"),
    Rule("var/cache/debconf/tmp.ci", "remove", "where dpkg-preconfigure unpacks templates"),
    Rule("var/lib/dpkg/*-old", "remove", "a backup"),
    Rule("var/lib/dpkg/lock", "remove", "a lock"),
    Rule("var/lib/dpkg/lock-frontend", "remove", "a lock"),
    Rule("var/lib/dpkg/triggers/Lock", "remove", "a lock"),
    Rule("var/lib/ucf/*.[0-9]", "remove", "a backup"),
    Rule("var/lib/systemd/timers/stamp-*", "remove", "when a timer last ran"),
)
# Python's `__pycache__` folders stay: every command of a build runs with SOURCE_DATE_EPOCH, which
# makes py_compile write hash-based files (PEP 552) that hold no time and stay valid when the times
# of their sources are clamped.


class FirstBoot(Value, frozen=True):
    """A secret that a maintainer script made once, and that each container must make for itself."""

    name: str
    """Of the unit, `oven-NAME.service`."""
    needs: str
    """The program that makes it; without it in the tree there is no unit."""
    missing: tuple[str, ...]
    """The unit runs when one of these is not there."""
    command: str
    before: tuple[str, ...]
    """Units that want the secret."""


FIRST_BOOT: tuple[FirstBoot, ...] = (
    FirstBoot(
        "ssh-host-keys",
        "usr/bin/ssh-keygen",
        ("/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key"),
        "/usr/bin/ssh-keygen -A",
        # Not ssh.socket: sockets come before every ordinary service, which would be a cycle.
        ("ssh.service", "sshd.service"),
    ),
    FirstBoot(
        "snakeoil-certificate",
        "usr/sbin/make-ssl-cert",
        ("/etc/ssl/private/ssl-cert-snakeoil.key",),
        "/usr/sbin/make-ssl-cert generate-default-snakeoil",
        (
            "nginx.service",
            "apache2.service",
            "postfix.service",
            "dovecot.service",
            "postgresql@.service",
            "freeradius.service",
        ),
    ),
    FirstBoot(
        "rndc-key",
        "usr/sbin/rndc-confgen",
        ("/etc/bind/rndc.key",),
        "/usr/sbin/rndc-confgen -a -u bind",
        ("named.service",),
    ),
    FirstBoot(
        "mail-aliases",
        "usr/bin/newaliases",
        ("/etc/aliases.db",),
        "/usr/bin/newaliases",
        ("postfix.service",),
    ),
)


def first_boot_unit(row: FirstBoot) -> str:
    """Write the systemd unit that makes a secret at the first boot."""
    conditions = "".join(f"ConditionPathExists=|!{path}\n" for path in row.missing)
    return f"""\
[Unit]
Description=Make this machine's own {row.name.replace("-", " ")}
Documentation=man:systemd.unit(5)
{conditions}Before={" ".join(row.before)}

[Service]
Type=oneshot
ExecStart={row.command}
"""
