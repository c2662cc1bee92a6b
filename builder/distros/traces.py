"""What building leaves in any tree, and containers must not share."""

from typing import Literal

from builder.model.value import Value

Action = Literal["remove", "empty", "unlist", "cut", "find"]
"""`empty` keeps a file with its mode and owner, for programs that want it to be there; `unlist`
takes away a folder's access control lists (acl(5)); `cut` takes lines out of a file; `find` changes
nothing: only the author can say how containers get their own."""


class CleanRule(Value, frozen=True):
    """Paths to clean; `*` stands for anything within one name, `**` for all below a folder.

    `**` matches files and links, not folders: packages own the folders, with their modes.
    """

    path: str
    action: Action
    reason: str
    lines: str = ""
    """A pattern: which lines of a file it is about; those of a secret that stands among others."""


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
    # What Debian's maintainer scripts make; `distros/first_boot.py` has it made again.
    CleanRule("etc/hostid", "remove", "of gethostid(3); ZFS tells machines apart by it"),
    CleanRule("etc/nvme/hostid", "remove", "nvme-cli's: it tells hosts apart to storage"),
    CleanRule("etc/nvme/hostnqn", "remove", "the same, as a name"),
    CleanRule(
        "etc/iscsi/initiatorname.iscsi", "remove", "open-iscsi's: two with one name share sessions"
    ),
    CleanRule(
        "etc/popularity-contest.conf", "cut", "who sends it, and on which day", r"MY_HOSTID=|DAY="
    ),
    CleanRule("etc/cron.d/popularity-contest", "remove", "runs at a minute that was drawn by lot"),
    CleanRule("etc/munge/munge.key", "remove", "whoever knows it is anybody in the cluster"),
    CleanRule("etc/xrdp/rsakeys.ini", "remove", "made by xrdp's postinst"),
    CleanRule("etc/dropbear/dropbear_*_host_key", "remove", "as those of OpenSSH"),
    CleanRule("etc/dropbear/initramfs/dropbear_*_host_key", "remove", "the same, for an initrd"),
    CleanRule("etc/lsh_host_key", "remove", "as those of OpenSSH"),
    CleanRule("etc/lsh_host_key.pub", "remove", "its public half"),
    CleanRule("var/spool/lsh/yarrow-seed-file", "remove", "lsh's random seed"),
    CleanRule("var/lib/dkms/mok.key", "remove", "signs kernel modules"),
    CleanRule("var/lib/dkms/mok.pub", "remove", "belongs to the key above"),
    CleanRule("var/lib/quassel/quasselCert.pem", "remove", "made by quassel-core's postinst"),
    CleanRule("etc/ejabberd/ejabberd.pem", "remove", "made by ejabberd's preinst"),
    CleanRule("var/lib/ejabberd/.erlang.cookie", "remove", "as that of RabbitMQ"),
    CleanRule("etc/ircd-hybrid/key/ircd.key", "remove", "made by ircd-hybrid's postinst"),
    CleanRule("etc/ircd-hybrid/key/ircd.pem", "remove", "belongs to the key above"),
    CleanRule(
        "var/lib/phpmyadmin/blowfish_secret.inc.php", "remove", "who knows it reads all cookies"
    ),
    # What services make themselves when they start and it is missing.
    CleanRule("etc/dnssec-trigger/dnssec_trigger_*.key", "remove", "its keygen service makes them"),
    CleanRule("etc/dnssec-trigger/dnssec_trigger_*.pem", "remove", "belong to the keys above"),
    CleanRule("var/lib/NetworkManager/secret_key", "remove", "stable addresses are made of it"),
    CleanRule("var/lib/mysql/auto.cnf", "remove", "the UUID by which MySQL servers replicate"),
    CleanRule("var/lib/fwupd/pki/secret.key", "remove", "fwupd's own"),
    CleanRule("etc/docker/key.json", "remove", "Docker's identity"),
    # What stands among other settings, or what else depends on: no rule can make it again.
    CleanRule(
        "etc/roundcube/config.inc.php", "find", "encrypts passwords", r"\$config\['des_key'\]"
    ),
    CleanRule("etc/mailman3/mailman-web.py", "find", "signs sessions", r"SECRET_KEY *= *'[^']"),
    CleanRule(
        "etc/mailman3/mailman.cfg", "find", "a password", r"\s*admin_pass:\s*(?!restpass$)\S"
    ),
    CleanRule("var/lib/heimdal-kdc/m-key", "find", "all keys of the realm are encrypted with it"),
)
"""What two containers of one template must never share."""
