"""What an RPM tree must not carry into a template beyond what Debian's must not."""

from builder.distros.traces import Rule

RULES: tuple[Rule, ...] = (
    # Two containers must not share them.
    Rule("etc/pki/tls/private/localhost.key", "remove", "made by mod_ssl; made again at its start"),
    Rule("etc/pki/tls/certs/localhost.crt", "remove", "belongs to the key above"),
    # Traces of the build: never the same twice.
    Rule("var/lib/dnf/**", "remove", "when what was installed by whom; dnf makes it again"),
    Rule("usr/lib/sysimage/libdnf5/transaction_history.sqlite*", "remove", "the same, of dnf 5"),
    Rule("var/log/dnf*", "remove", "times of the build"),
    Rule("var/log/hawkey.log", "remove", "times of the build"),
    Rule("var/log/yum.log", "remove", "times of the build"),
    Rule("var/lib/authselect/backups/*", "remove", "backups, named after the time"),
    Rule("etc/.updated", "remove", "when systemd-update-done last ran"),
    Rule("var/.updated", "remove", "when systemd-update-done last ran"),
    # Caches that are made again when they are missed.
    Rule("var/cache/dnf/**", "remove", "packages and indexes"),
    Rule("var/cache/libdnf5/**", "remove", "packages and indexes"),
    Rule("var/cache/yum/**", "remove", "packages and indexes"),
    # What SQLite keeps beside a database that is open; rpm opens it again.
    Rule("var/lib/rpm/rpmdb.sqlite-*", "remove", "left behind when a scriptlet asked rpm"),
    Rule("var/lib/rpm/.rpm.lock", "remove", "a lock"),
    Rule("usr/lib/sysimage/rpm/rpmdb.sqlite-*", "remove", "left behind, as above"),
    Rule("usr/lib/sysimage/rpm/.rpm.lock", "remove", "a lock"),
)
