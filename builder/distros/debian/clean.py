"""What a Debian tree must not carry into a template, each with the reason why."""

from builder.distros import traces

RULES: tuple[traces.CleanRule, ...] = (
    *traces.IDENTITY,
    # Traces of the build: never the same twice, and no business of a container.
    traces.CleanRule("dev/*", "remove", "the runtime mounts its own"),
    traces.CleanRule("proc/*", "remove", "a mount point"),
    traces.CleanRule("sys/*", "remove", "a mount point"),
    traces.CleanRule("run/*", "remove", "lives until the next boot only"),
    traces.CleanRule("tmp/*", "remove", "lives until the next boot only"),
    traces.CleanRule("var/tmp/*", "remove", "left behind by maintainer scripts"),
    traces.CleanRule("root/.bash_history", "remove", "what somebody typed"),
    traces.CleanRule("root/.*_history", "remove", "what somebody typed"),
    traces.CleanRule("root/.lesshst", "remove", "what somebody looked for"),
    traces.CleanRule("root/.viminfo", "remove", "what somebody edited"),
    traces.CleanRule("root/.wget-hsts", "remove", "where something was downloaded from"),
    traces.CleanRule("root/.cache", "remove", "can be made again"),
    traces.CleanRule("root/.gnupg", "remove", "apt-key and gpg leave keys and seeds here"),
    traces.CleanRule("var/log/dpkg.log", "remove", "times of the build; dpkg makes it again"),
    traces.CleanRule("var/log/alternatives.log", "remove", "times of the build"),
    traces.CleanRule("var/log/bootstrap.log", "remove", "debootstrap's"),
    traces.CleanRule("var/log/fontconfig.log", "remove", "times of the build"),
    traces.CleanRule("var/log/apt/*", "remove", "times of the build; apt makes them again"),
    traces.CleanRule("var/log/journal/*", "remove", "the folder is named after a machine-id"),
    traces.CleanRule(
        "var/log/journal", "unlist", "tmpfiles.d/systemd.conf sets it at each boot, where it can be"
    ),
    traces.CleanRule("var/log/README", "remove", "a link that tmpfiles.d makes at boot"),
    # The others are emptied: a daemon that is not root may be unable to make its own again.
    traces.CleanRule("var/log/**", "empty", "times of the build"),
    # Caches that are made again when they are missed.
    traces.CleanRule(
        "var/lib/apt/lists/**", "remove", "old before the template is used; `apt-get update`"
    ),
    traces.CleanRule(
        "var/lib/apt/lists/auxfiles", "remove", "a folder that apt makes when it installs"
    ),
    traces.CleanRule("var/cache/apt/**", "remove", "packages and indexes that apt makes again"),
    traces.CleanRule("var/cache/ldconfig/aux-cache", "remove", "holds inode numbers and times"),
    traces.CleanRule("var/cache/man/**", "remove", "man-db's timer makes it again"),
    traces.CleanRule("var/cache/fontconfig/**", "remove", "holds times; fontconfig makes it again"),
    traces.CleanRule("var/lib/texmf/web2c/*.log", "remove", "when fonts were listed"),
    traces.CleanRule("var/lib/texmf/web2c/*/*.log", "remove", "when formats were made"),
    traces.CleanRule("usr/share/info/dir.old", "remove", "a backup"),
    traces.CleanRule("usr/share/mime/mime.cache~", "remove", "a backup"),
    traces.CleanRule(
        "etc/aliases.db", "remove", "Berkeley DB puts a random id into it; made at first boot"
    ),
    # Backups and locks of the tools that installed.
    traces.CleanRule("etc/passwd-", "remove", "a backup"),
    traces.CleanRule("etc/group-", "remove", "a backup"),
    traces.CleanRule("etc/shadow-", "remove", "a backup, with dates"),
    traces.CleanRule("etc/gshadow-", "remove", "a backup"),
    traces.CleanRule("etc/subuid-", "remove", "a backup"),
    traces.CleanRule("etc/subgid-", "remove", "a backup"),
    traces.CleanRule("etc/.pwd.lock", "remove", "a lock"),
    traces.CleanRule(
        "etc/.resolv.conf.systemd-resolved.bak", "remove", "the build host's name servers"
    ),
    traces.CleanRule("var/cache/debconf/*-old", "remove", "a backup"),
    traces.CleanRule(
        "var/cache/debconf/tmp.ci", "remove", "where dpkg-preconfigure unpacks templates"
    ),
    traces.CleanRule("var/lib/dpkg/*-old", "remove", "a backup"),
    traces.CleanRule("var/lib/dpkg/lock", "remove", "a lock"),
    traces.CleanRule("var/lib/dpkg/lock-frontend", "remove", "a lock"),
    traces.CleanRule("var/lib/dpkg/triggers/Lock", "remove", "a lock"),
    traces.CleanRule("var/lib/ucf/*.[0-9]", "remove", "a backup"),
    traces.CleanRule("var/lib/systemd/timers/stamp-*", "remove", "when a timer last ran"),
)
# Python's `__pycache__` folders stay: every command of a build runs with SOURCE_DATE_EPOCH, which
# makes py_compile write hash-based files (PEP 552) that hold no time and stay valid when the times
# of their sources are clamped.
