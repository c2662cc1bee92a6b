"""What a Debian tree must not carry into a template, each with the reason why."""

from builder.distros import traces

RULES: tuple[traces.Rule, ...] = (
    *traces.IDENTITY,
    # Traces of the build: never the same twice, and no business of a container.
    traces.Rule("dev/*", "remove", "the runtime mounts its own"),
    traces.Rule("proc/*", "remove", "a mount point"),
    traces.Rule("sys/*", "remove", "a mount point"),
    traces.Rule("run/*", "remove", "lives until the next boot only"),
    traces.Rule("tmp/*", "remove", "lives until the next boot only"),
    traces.Rule("var/tmp/*", "remove", "left behind by maintainer scripts"),
    traces.Rule("root/.bash_history", "remove", "what somebody typed"),
    traces.Rule("root/.*_history", "remove", "what somebody typed"),
    traces.Rule("root/.lesshst", "remove", "what somebody looked for"),
    traces.Rule("root/.viminfo", "remove", "what somebody edited"),
    traces.Rule("root/.wget-hsts", "remove", "where something was downloaded from"),
    traces.Rule("root/.cache", "remove", "can be made again"),
    traces.Rule("root/.gnupg", "remove", "apt-key and gpg leave keys and seeds here"),
    traces.Rule("var/log/dpkg.log", "remove", "times of the build; dpkg makes it again"),
    traces.Rule("var/log/alternatives.log", "remove", "times of the build"),
    traces.Rule("var/log/bootstrap.log", "remove", "debootstrap's"),
    traces.Rule("var/log/fontconfig.log", "remove", "times of the build"),
    traces.Rule("var/log/apt/*", "remove", "times of the build; apt makes them again"),
    traces.Rule("var/log/journal/*", "remove", "the folder is named after a machine-id"),
    traces.Rule(
        "var/log/journal", "unlist", "tmpfiles.d/systemd.conf sets it at each boot, where it can be"
    ),
    traces.Rule("var/log/README", "remove", "a link that tmpfiles.d makes at boot"),
    # The others are emptied: a daemon that is not root may be unable to make its own again.
    traces.Rule("var/log/**", "empty", "times of the build"),
    # Caches that are made again when they are missed.
    traces.Rule(
        "var/lib/apt/lists/**", "remove", "old before the template is used; `apt-get update`"
    ),
    traces.Rule("var/lib/apt/lists/auxfiles", "remove", "a folder that apt makes when it installs"),
    traces.Rule("var/cache/apt/**", "remove", "packages and indexes that apt makes again"),
    traces.Rule("var/cache/ldconfig/aux-cache", "remove", "holds inode numbers and times"),
    traces.Rule("var/cache/man/**", "remove", "man-db's timer makes it again"),
    traces.Rule("var/cache/fontconfig/**", "remove", "holds times; fontconfig makes it again"),
    traces.Rule("usr/share/mime/mime.cache~", "remove", "a backup"),
    traces.Rule(
        "etc/aliases.db", "remove", "Berkeley DB puts a random id into it; made at first boot"
    ),
    # Backups and locks of the tools that installed.
    traces.Rule("etc/passwd-", "remove", "a backup"),
    traces.Rule("etc/group-", "remove", "a backup"),
    traces.Rule("etc/shadow-", "remove", "a backup, with dates"),
    traces.Rule("etc/gshadow-", "remove", "a backup"),
    traces.Rule("etc/subuid-", "remove", "a backup"),
    traces.Rule("etc/subgid-", "remove", "a backup"),
    traces.Rule("etc/.pwd.lock", "remove", "a lock"),
    traces.Rule("etc/.resolv.conf.systemd-resolved.bak", "remove", "the build host's name servers"),
    traces.Rule("var/cache/debconf/*-old", "remove", "a backup"),
    traces.Rule("var/cache/debconf/tmp.ci", "remove", "where dpkg-preconfigure unpacks templates"),
    traces.Rule("var/lib/dpkg/*-old", "remove", "a backup"),
    traces.Rule("var/lib/dpkg/lock", "remove", "a lock"),
    traces.Rule("var/lib/dpkg/lock-frontend", "remove", "a lock"),
    traces.Rule("var/lib/dpkg/triggers/Lock", "remove", "a lock"),
    traces.Rule("var/lib/ucf/*.[0-9]", "remove", "a backup"),
    traces.Rule("var/lib/systemd/timers/stamp-*", "remove", "when a timer last ran"),
)
# Python's `__pycache__` folders stay: every command of a build runs with SOURCE_DATE_EPOCH, which
# makes py_compile write hash-based files (PEP 552) that hold no time and stay valid when the times
# of their sources are clamped.
