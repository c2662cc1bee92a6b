"""What building leaves in any tree, and containers must not share: rules and first-boot units."""

from typing import Literal

from builder.model.unit_file import Call, Section, UnitFile, Words
from builder.model.value import Value

Action = Literal["remove", "empty", "unlist"]
"""`empty` keeps a file with its mode and owner, for programs that want it to be there; `unlist`
takes away a folder's access control lists (acl(5))."""


class CleanRule(Value, frozen=True):
    """Paths to clean; `*` stands for anything within one name, `**` for all below a folder.

    `**` matches files and links, not folders: packages own the folders, with their modes.
    """

    path: str
    action: Action
    reason: str


BUILDS_OWN: tuple[CleanRule, ...] = (
    CleanRule("etc/hostname", "remove", "the build's; a container gets its own from the runtime"),
    CleanRule("etc/resolv.conf", "remove", "the build host's name servers; the runtime writes it"),
)
"""What an overlay may bring all the same: it tells containers apart from no others."""

IDENTITY: tuple[CleanRule, ...] = (
    *BUILDS_OWN,
    CleanRule(
        "var/lib/dbus/machine-id", "remove", "tmpfiles.d/dbus.conf links it to /etc/machine-id"
    ),
    CleanRule(
        "etc/ssh/ssh_host_*_key", "remove", "a shared host key lets one guest pose as another"
    ),
    CleanRule("etc/ssh/ssh_host_*_key.pub", "remove", "the public halves of the above"),
    CleanRule("etc/ssl/private/ssl-cert-snakeoil.key", "remove", "made by ssl-cert's postinst"),
    CleanRule("etc/ssl/certs/ssl-cert-snakeoil.pem", "remove", "belongs to the key above"),
    CleanRule(
        "etc/bind/rndc.key", "remove", "made by bind9's postinst: it controls the name server"
    ),
    CleanRule(
        "var/lib/rabbitmq/.erlang.cookie", "remove", "whoever knows it owns the whole cluster"
    ),
    CleanRule("var/lib/systemd/random-seed", "remove", "systemd:docs/BUILDING_IMAGES.md"),
    CleanRule("var/lib/systemd/credential.secret", "remove", "systemd:docs/BUILDING_IMAGES.md"),
    CleanRule("var/lib/urandom/random-seed", "remove", "the same, of sysvinit"),
    CleanRule(
        "var/cache/debconf/passwords.dat", "empty", "answers that maintainer scripts hold secret"
    ),
)
"""What two containers of one template must never share."""


class FirstBootUnit(Value, frozen=True):
    """A secret that a maintainer script made once, and that each container must make for itself."""

    name: str
    """Of the unit, `oven-NAME.service`."""
    needs: str
    """The program that makes it; without it in the tree there is no unit."""
    missing: tuple[str, ...]
    """The unit runs when one of these is not there."""
    command: str


FIRST_BOOT: tuple[FirstBootUnit, ...] = (
    FirstBootUnit(
        "ssh-host-keys",
        "usr/bin/ssh-keygen",
        ("/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key"),
        "/usr/bin/ssh-keygen -A",
    ),
    FirstBootUnit(
        "snakeoil-certificate",
        "usr/sbin/make-ssl-cert",
        ("/etc/ssl/private/ssl-cert-snakeoil.key",),
        "/usr/sbin/make-ssl-cert generate-default-snakeoil",
    ),
    FirstBootUnit(
        "rndc-key",
        "usr/sbin/rndc-confgen",
        ("/etc/bind/rndc.key",),
        "/usr/sbin/rndc-confgen -a -u bind",
    ),
    FirstBootUnit(
        "mail-aliases",
        "usr/bin/newaliases",
        ("/etc/aliases.db",),
        "/usr/bin/newaliases",
    ),
)


FIRST_BOOT_WANTS = "sysinit.target.wants"
"""What has a unit of the first boot be started."""

_BEFORE_ALL: Section = (
    ("DefaultDependencies", "no"),
    # Where it writes is there and is not cleaned any more, and system accounts are made.
    (
        "After",
        Words(("local-fs.target", "systemd-sysusers.service", "systemd-tmpfiles-setup.service")),
    ),
    # All sockets, timers and services but those of the early boot come after this one by
    # themselves (bootup(7)); so nothing is named here that wants the secret.
    ("Before", Words(("sysinit.target", "shutdown.target"))),
    ("Conflicts", "shutdown.target"),
)


def first_boot_unit(row: FirstBootUnit) -> UnitFile:
    """Describe the systemd unit that makes a secret at the first boot."""
    return UnitFile(
        unit=(
            ("Description", f"Make this machine's own {row.name.replace('-', ' ')}"),
            ("Documentation", "man:systemd.unit(5)"),
            *(("ConditionPathExists", f"|!{path}") for path in row.missing),
            *_BEFORE_ALL,
        ),
        service=(
            ("Type", "oneshot"),
            ("ExecStart", Call(tuple(row.command.split()))),
            ("TimeoutStartSec", "5min"),  # else it would be waited for without end
        ),
    )
