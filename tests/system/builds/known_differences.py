"""In what Oven's Debian trees differ from those of mmdebstrap and debootstrap, and why."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from builder.model.recipe import Recipe
from tests.support.trees.whole_trees import Difference


@dataclass(frozen=True)
class Known:
    """A difference that is meant to be; `*` in the path stands for anything within one name."""

    path: str
    what: str
    """As in `Difference`: `extra` is only in Oven's tree, `missing` only in the other one."""
    reason: str
    only: tuple[str, ...] = ()
    """Suites and tools, where it is not so with all of them."""

    def covers(self, found: Difference) -> bool:
        """Tell whether this is the difference that is meant."""
        names, patterns = found.path.split("/"), self.path.split("/")
        if patterns[-1] == "**" and len(names) > len(patterns):
            names = [*names[: len(patterns) - 1], "x"]
        same = len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))
        return same and found.what == self.what

    def concerns(self, suite: str, tool: str) -> bool:
        """Tell whether it is to be found in a tree of this suite, against this tool."""
        words = {"bookworm": suite, "trixie": suite, "mmdebstrap": tool, "debootstrap": tool}
        return all(words[word] == word for word in self.only)


MMDEBSTRAP, DEBOOTSTRAP = ("mmdebstrap",), ("debootstrap",)

KNOWN = (
    # What a container must not share with others, or gets from whoever runs it.
    Known("dev/*", "missing", "the runtime mounts its own"),
    Known("etc/fstab", "missing", "the tool's, without an entry; the runtime mounts the root"),
    Known("etc/hostname", "missing", "the build host's; the runtime writes a container's own"),
    Known("etc/hosts", "missing", "the same"),
    Known("etc/resolv.conf", "missing", "the build host's; the runtime writes it"),
    Known("etc/machine-id", "content", "empty, so that each container gets its own", DEBOOTSTRAP),
    Known("etc/machine-id", "mode", "as systemd itself makes it; mmdebstrap's is 0644", MMDEBSTRAP),
    Known("var/lib/dbus/machine-id", "missing", "made by tmpfiles.d/dbus.conf", DEBOOTSTRAP),
    Known("run/**", "missing", "empty after a boot"),
    # What Oven adds.
    Known("usr/share/oven", "extra", "the template's description"),
    Known("usr/share/oven/manifest.json", "extra", "the template's description"),
    # What the recipes ask for beyond packages, apart from the units that they mask.
    Known("etc/locale.conf", "extra", "system.locale"),
    Known("etc/default/locale", "extra", "system.locale", ("bookworm",)),
    Known("etc/timezone", "extra", "system.timezone", ("trixie",)),
    # Package sources: both tools were given an archive on the loopback interface.
    Known("etc/apt/sources.list", "missing", "names the archive of this test"),
    Known("etc/apt/sources.list.d/debian.sources", "extra", "names Debian's mirror"),
    # What apt leaves when it runs: how and as whom differs, and apt makes it again.
    Known("var/lib/apt/extended_states", "content", "which are dependencies only", MMDEBSTRAP),
    Known("var/lib/apt/extended_states", "extra", "which are dependencies only", DEBOOTSTRAP),
    Known("var/lib/apt/lists/*_dists_*", "missing", "a package list", DEBOOTSTRAP),
    Known("var/lib/apt/lists/lock", "missing", "a lock", MMDEBSTRAP),
    Known("var/lib/apt/lists/partial", "mode", "as packaged; apt's update changes it", MMDEBSTRAP),
    Known("var/lib/apt/lists/partial", "owner", "as packaged; apt's update changes it", MMDEBSTRAP),
    Known("var/cache/apt/archives/*.deb", "missing", "a package file", DEBOOTSTRAP),
    Known("var/cache/apt/archives/lock", "missing", "a lock", MMDEBSTRAP),
    Known("var/cache/apt/archives/partial", "owner", "as packaged; apt changes it", MMDEBSTRAP),
    Known("var/cache/apt/archives/partial", "mode", "apt has changed it", DEBOOTSTRAP),
    # Locks, backups, logs, caches.
    Known("etc/.pwd.lock", "missing", "a lock"),
    Known("etc/passwd-", "missing", "a backup"),
    Known("etc/group-", "missing", "a backup"),
    Known("etc/shadow-", "missing", "a backup"),
    Known("etc/gshadow-", "missing", "a backup"),
    Known("var/cache/debconf/*-old", "missing", "a backup"),
    Known("var/cache/ldconfig/aux-cache", "missing", "holds inode numbers", DEBOOTSTRAP),
    Known("var/lib/dpkg/*-old", "missing", "a backup"),
    Known("var/lib/dpkg/lock", "missing", "a lock"),
    Known("var/lib/dpkg/lock-frontend", "missing", "a lock"),
    Known("var/lib/dpkg/triggers/Lock", "missing", "a lock"),
    Known("var/lib/dpkg/arch", "missing", "says what dpkg knows without", MMDEBSTRAP),
    Known("var/lib/dpkg/available", "missing", "what dselect would offer", DEBOOTSTRAP),
    Known("var/lib/dpkg/cmethopt", "missing", "dselect's", DEBOOTSTRAP),
    Known("var/log/README", "missing", "a link that tmpfiles.d makes at boot"),
    Known("var/log/alternatives.log", "missing", "times of the build", DEBOOTSTRAP),
    Known("var/log/bootstrap.log", "missing", "times of the build", DEBOOTSTRAP),
    Known("var/log/dpkg.log", "missing", "times of the build", DEBOOTSTRAP),
    # Not every file system has access lists, so this one is left to tmpfiles.d/systemd.conf.
    Known("var/log/journal", "system.posix_acl_access", "set at each boot (tmpfiles.d)"),
    Known("var/log/journal", "system.posix_acl_default", "set at each boot (tmpfiles.d)"),
    # The links of merged /usr are there before any package is, which then leaves them alone.
    Known("bin", "time", "made before the package", ("trixie",)),
    Known("lib", "time", "made before the package", ("trixie",)),
    Known("lib64", "time", "made before the package", ("trixie",)),
    Known("sbin", "time", "made before the package", ("trixie",)),
    Known(
        "etc/systemd/system/timers.target.wants/apt-daily*.timer",
        "target",
        "by way of /lib, as in debootstrap's tree; both lead to the same unit",
        ("trixie", "mmdebstrap"),
    ),
)


def masked(recipe: Recipe) -> frozenset[str]:
    """Name the links of the units that a recipe masks."""
    return frozenset(f"etc/systemd/system/{unit}" for unit in recipe.services.mask)
