"""What an RPM tree must not carry into a template beyond what Debian's must not."""

from builder.distros.traces import CleanRule

RULES: tuple[CleanRule, ...] = (
    # Two containers must not share them.
    CleanRule(
        "etc/pki/tls/private/localhost.key", "remove", "made by mod_ssl; made again at its start"
    ),
    CleanRule("etc/pki/tls/certs/localhost.crt", "remove", "belongs to the key above"),
    # Traces of the build: never the same twice.
    CleanRule("var/lib/dnf/**", "remove", "when what was installed by whom; dnf makes it again"),
    CleanRule(
        "usr/lib/sysimage/libdnf5/transaction_history.sqlite*", "remove", "the same, of dnf 5"
    ),
    CleanRule("var/log/dnf*", "remove", "times of the build"),
    CleanRule("var/log/hawkey.log", "remove", "times of the build"),
    CleanRule("var/log/yum.log", "remove", "times of the build"),
    CleanRule("var/lib/authselect/backups/*", "remove", "backups, named after the time"),
    CleanRule("etc/.updated", "remove", "when systemd-update-done last ran"),
    CleanRule("var/.updated", "remove", "when systemd-update-done last ran"),
    # Caches that are made again when they are missed.
    CleanRule("var/cache/dnf/**", "remove", "packages and indexes"),
    CleanRule("var/cache/libdnf5/**", "remove", "packages and indexes"),
    CleanRule("var/cache/yum/**", "remove", "packages and indexes"),
    # What SQLite keeps beside a database that is open; rpm opens it again.
    CleanRule("var/lib/rpm/rpmdb.sqlite-*", "remove", "left behind when a scriptlet asked rpm"),
    CleanRule("var/lib/rpm/.rpm.lock", "remove", "a lock"),
    CleanRule("usr/lib/sysimage/rpm/rpmdb.sqlite-*", "remove", "left behind, as above"),
    CleanRule("usr/lib/sysimage/rpm/.rpm.lock", "remove", "a lock"),
)
