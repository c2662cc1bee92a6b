"""Units of the first boot: each container makes what it must not share with others."""

import shlex

from builder.model.unit_file import Call, Section, UnitFile, Words
from builder.model.value import Value


class FirstBootUnit(Value, frozen=True):
    """A secret that a maintainer script made once, and that each container must make for itself."""

    name: str
    """Of the unit, `oven-NAME.service`."""
    needs: str
    """The program that makes it; without it in the tree there is no unit."""
    missing: tuple[str, ...]
    """The unit runs when one of these is not there, and fails if it does not make all of them."""
    command: tuple[str, ...]


def _shell(*lines: str) -> tuple[str, ...]:
    return ("/bin/sh", "-euc", "; ".join(lines))


# The commands are those of the packages' own maintainer scripts, without what only these can do.
FIRST_BOOT: tuple[FirstBootUnit, ...] = (
    FirstBootUnit(
        "ssh-host-keys",
        "usr/bin/ssh-keygen",
        ("/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key"),
        ("/usr/bin/ssh-keygen", "-A"),
    ),
    FirstBootUnit(
        "snakeoil-certificate",
        "usr/sbin/make-ssl-cert",
        ("/etc/ssl/private/ssl-cert-snakeoil.key",),
        ("/usr/sbin/make-ssl-cert", "generate-default-snakeoil"),
    ),
    FirstBootUnit(
        "rndc-key",
        "usr/sbin/rndc-confgen",
        ("/etc/bind/rndc.key",),
        ("/usr/sbin/rndc-confgen", "-a", "-u", "bind"),
    ),
    FirstBootUnit(
        "mail-aliases",
        "usr/bin/newaliases",
        ("/etc/aliases.db",),
        ("/usr/bin/newaliases",),
    ),
    FirstBootUnit("host-id", "usr/sbin/zgenhostid", ("/etc/hostid",), ("/usr/sbin/zgenhostid",)),
    FirstBootUnit(
        "nvme-host",
        "usr/sbin/nvme",
        ("/etc/nvme/hostid", "/etc/nvme/hostnqn"),
        # `nvme gen-hostnqn` would take what the firmware says, which all containers see alike.
        _shell(
            "id=$(cat /proc/sys/kernel/random/uuid)",
            'echo "$id" >/etc/nvme/hostid',
            'echo "nqn.2014-08.org.nvmexpress:uuid:$id" >/etc/nvme/hostnqn',
        ),
    ),
    FirstBootUnit(
        "iscsi-initiator",
        "usr/sbin/iscsi-iname",
        ("/etc/iscsi/initiatorname.iscsi",),
        _shell(
            "umask 077",
            "name=$(iscsi-iname -p iqn.1993-08.org.debian:01)",
            'echo "InitiatorName=$name" >/etc/iscsi/initiatorname.iscsi',
        ),
    ),
    FirstBootUnit(
        "popularity-contest",
        "usr/sbin/popularity-contest",
        ("/etc/cron.d/popularity-contest",),
        # It adds what is missing among the settings, and asks nobody.
        ("/usr/sbin/dpkg-reconfigure", "--frontend=noninteractive", "popularity-contest"),
    ),
    FirstBootUnit(
        "munge-key",
        "usr/sbin/mungekey",
        ("/etc/munge/munge.key",),
        ("/usr/sbin/runuser", "-u", "munge", "--", "/usr/sbin/mungekey", "--create"),
    ),
    FirstBootUnit(
        "xrdp-keys",
        "usr/bin/xrdp-keygen",
        ("/etc/xrdp/rsakeys.ini",),
        _shell("umask 077", "xrdp-keygen xrdp auto", "chown xrdp /etc/xrdp/rsakeys.ini"),
    ),
    FirstBootUnit(
        "dropbear-host-keys",
        "usr/bin/dropbearkey",
        tuple(f"/etc/dropbear/dropbear_{kind}_host_key" for kind in ("rsa", "ecdsa", "ed25519")),
        _shell(
            "cd /etc/dropbear",
            "for kind in rsa ecdsa ed25519; do test -e dropbear_${kind}_host_key ||"
            " dropbearkey -t $kind -f dropbear_${kind}_host_key; done",
        ),
    ),
    FirstBootUnit(
        "lsh-host-key",
        "usr/bin/lsh-keygen",
        ("/etc/lsh_host_key",),
        _shell(
            "umask 077",
            "mkdir -p /var/spool/lsh",
            "head -c 32 /dev/urandom >/var/spool/lsh/yarrow-seed-file",
            "lsh-keygen --server | lsh-writekey --server",
            "chmod +r /etc/lsh_host_key.pub",
        ),
    ),
    FirstBootUnit(
        "dkms-key",
        "usr/sbin/dkms",
        ("/var/lib/dkms/mok.key",),
        _shell(
            # An older dkms does not know the word, tells how it is used, and ends well.
            "/usr/sbin/dkms generate_mok >/dev/null",
            "test -s /var/lib/dkms/mok.key || openssl req -new -x509 -nodes -days 36500"
            " -subj '/CN=DKMS module signing key' -newkey rsa:2048"
            " -keyout /var/lib/dkms/mok.key -outform DER -out /var/lib/dkms/mok.pub",
        ),
    ),
    FirstBootUnit(
        "quassel-certificate",
        "usr/bin/quasselcore",
        ("/var/lib/quassel/quasselCert.pem",),
        _shell(
            "umask 027",
            "f=/var/lib/quassel/quasselCert.pem",
            "runuser -u quasselcore -- openssl req -x509 -nodes -batch -days 680 -newkey rsa"
            " -keyout $f -out $f",
        ),
    ),
    FirstBootUnit(
        "ejabberd-certificate",
        "usr/sbin/ejabberdctl",
        ("/etc/ejabberd/ejabberd.pem",),
        _shell(
            "f=/etc/ejabberd/ejabberd.pem",
            'openssl req -x509 -days 365 -nodes -subj "/CN=$(uname -n)" -newkey rsa:2048'
            " -keyout $f -out $f",
            "chown root:ejabberd $f",
            "chmod 640 $f",
        ),
    ),
    FirstBootUnit(
        "ircd-hybrid-certificate",
        "usr/sbin/ircd-hybrid",
        ("/etc/ircd-hybrid/key/ircd.key",),
        _shell(
            "cd /etc/ircd-hybrid/key",
            "openssl req -config ../cert.cnf -x509 -nodes -days 365 -newkey rsa:2048"
            " -keyout ircd.key -out ircd.pem",
            "chown irc:irc ircd.key",
        ),
    ),
    FirstBootUnit(
        "phpmyadmin-secret",
        "usr/share/phpmyadmin/index.php",
        ("/var/lib/phpmyadmin/blowfish_secret.inc.php",),
        _shell(
            "umask 077",
            "f=/var/lib/phpmyadmin/blowfish_secret.inc.php",
            "secret=$(head -c 24 /dev/urandom | base64)",
            "printf \"<?php\\n\\$cfg['blowfish_secret'] = '%s';\\n\" $secret >$f",
            "chgrp www-data $f",
            "chmod 640 $f",
        ),
    ),
)


FIRST_BOOT_WANTS = "sysinit.target.wants"
"""What has a unit of the first boot be started."""

HOME = "HOME=/root"
"""What systemd tells no service of the system's, and programs such as openssl ask for."""

_WRITABLE = ("local-fs.target", "systemd-sysusers.service", "systemd-tmpfiles-setup.service")
"""Where it writes is there and is not cleaned any more, and system accounts are made."""


def before_all(*after: str) -> Section:
    """Say that a unit comes before all sockets, timers and services but those of early boot."""
    return (
        ("DefaultDependencies", "no"),
        ("After", Words((*_WRITABLE, *after))),
        # What has default dependencies comes after this one by itself (bootup(7)); so nothing is
        # named here that wants the secret.
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
            *before_all(),
        ),
        service=(
            ("Type", "oneshot"),
            ("Environment", HOME),
            ("ExecStart", Call(row.command)),
            # Some programs say how they are used, and end well.
            *(("ExecStartPost", Call(("/usr/bin/test", "-s", path))) for path in row.missing),
            ("TimeoutStartSec", "5min"),  # else it would be waited for without end
        ),
    )


def first_boot_line(row: FirstBootUnit) -> str:
    """Give what does the same in a script of sh(1)."""
    there, made = (
        " && ".join(f"test {sign} {path}" for path in row.missing) for sign in ("-e", "-s")
    )
    wrong = shlex.quote(f"oven: {row.name}: not all is made of {' '.join(row.missing)}")
    return f"{there} || {shlex.join(row.command)}\n{made} || echo {wrong} >&2\n"


# What recipes say


PREFIX = "oven-first-boot-"
"""How the names of their units begin."""


class FirstBoot(Value, frozen=True, kw_only=True):
    """A command that a recipe has each container run once."""

    name: str
    command: tuple[str, ...]
    makes: tuple[str, ...] = ()
    timeout: str = "5m"
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The name of its unit."""
        return f"{PREFIX}{self.name}.service"

    @property
    def wants(self) -> str:
        """What has it be started."""
        return f"{'multi-user' if self.after else 'sysinit'}.target.wants"


STATE = "oven/first-boot"
"""Below /var/lib: an empty file for each command that is done with, where it makes nothing."""


def recipe_unit(row: FirstBoot, earlier: tuple[str, ...]) -> UnitFile:
    """Describe the unit of a recipe's command, which comes after those of other units."""
    done = f"/var/lib/{STATE}/{row.name}"
    conditions = tuple(("ConditionPathExists", f"|!{path}") for path in row.makes or (done,))
    own = tuple(f"oven-{one.name}.service" for one in FIRST_BOOT)
    if row.after:
        order: Section = (
            ("Wants", Words(row.after)),
            ("After", Words((*row.after, *earlier))),
            *((("Before", Words(row.before)),) if row.before else ()),
        )
    else:
        order = before_all(*own, *earlier)
    # It is done with only once it has done what it is for.
    ends: list[tuple[str, ...]]
    ends = [("/usr/bin/test", "-e", path) for path in row.makes] or [("/bin/touch", done)]
    return UnitFile(
        note="written by Oven for a recipe's [[first-boot]]",
        unit=(("Description", f"First boot: {row.name}"), *conditions, *order),
        service=(
            ("Type", "oneshot"),
            ("StateDirectory", STATE),
            ("Environment", HOME),
            ("ExecStart", Call(row.command)),
            *(("ExecStartPost", Call(end)) for end in ends),
            ("TimeoutStartSec", row.timeout),
        ),
    )
