"""System settings in a tree: locale, time zone, and which systemd units start."""

import stat
from collections.abc import Iterable, Iterator

from builder.host.programs import Command
from builder.host.sandbox.sandbox import Inside
from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError
from builder.model.recipe.content import Services, System
from builder.stages.tree.accounts import nearest

UNIT_FOLDERS = ("usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system")
BUILTIN_LOCALES = ("C", "POSIX", "C.UTF-8")
ZONES = "usr/share/zoneinfo"
SUPPORTED = "usr/share/i18n/SUPPORTED"

# systemctl finds out by /proc/1/root whether it runs in a chroot, which a PID namespace hides.
OFFLINE = {"SYSTEMD_OFFLINE": "1"}


# Time zone and locale


def set_system(system: System | None, tree: TreeIO, run: Inside) -> None:
    """Set the time zone and the locale; nothing asked for changes nothing."""
    if system is not None:
        set_timezone(system.timezone, tree)
        set_locale(system.locale, tree, run)


def set_timezone(zone: str, tree: TreeIO) -> None:
    """Link /etc/localtime (localtime(5)) and name the zone in /etc/timezone."""
    # Without tzdata there is only UTC, which a dangling link means as well.
    if zone != "Etc/UTC" and not tree.is_file(f"{ZONES}/{zone}"):
        known = _zones(tree)
        raise RecipeError(
            f"there is no time zone `{zone}`",
            hint=nearest(zone, known, "`timedatectl list-timezones` lists them")
            if known
            else "add `tzdata` to `packages.install`",
        )
    tree.symlink("etc/localtime", f"/{ZONES}/{zone}")
    tree.write_bytes("etc/timezone", f"{zone}\n".encode())


def _zones(tree: TreeIO) -> list[str]:
    if not tree.is_dir(ZONES):
        return []
    paths = (path for path, status in tree.walk(ZONES) if not stat.S_ISDIR(status.st_mode))
    return [path.removeprefix(f"{ZONES}/") for path in paths]


def set_locale(locale: str, tree: TreeIO, run: Inside) -> None:
    """Make a locale if libc has it not built in, and have it be the default."""
    # Fedora's glibc-langpack packages bring theirs ready for use.
    made = tree.is_dir(f"usr/lib/locale/{locale.replace('UTF-8', 'utf8')}")
    if locale not in BUILTIN_LOCALES and not made:
        _generate(locale, tree, run)
    # locale.conf(5); Debian's PAM and older systemd read /etc/default/locale instead.
    tree.write_bytes("etc/locale.conf", f"LANG={locale}\n".encode())
    tree.symlink("etc/default/locale", "../locale.conf")


def _generate(locale: str, tree: TreeIO, run: Inside) -> None:
    if not tree.is_file("usr/sbin/locale-gen"):
        language = locale.partition("_")[0]
        package = "locales" if tree.is_dir("var/lib/dpkg") else f"glibc-langpack-{language}"
        raise RecipeError(
            f"the locale `{locale}` has to be generated",
            hint=f"add `{package}` to `packages.install`, or use `C.UTF-8`",
        )
    rows = tree.read_bytes(SUPPORTED).decode().split("\n")
    charsets = dict(row.split(maxsplit=1) for row in rows if len(row.split()) == 2)
    if locale not in charsets:
        raise RecipeError(
            f"there is no locale `{locale}`",
            hint=nearest(locale, charsets, "locales look like `de_DE.UTF-8`"),
        )
    tree.write_bytes("etc/locale.gen", f"{locale} {charsets[locale]}\n".encode())
    run.require(Command(("locale-gen",)), f"the locale `{locale}` could not be generated")


# Services


def set_services(services: Services, tree: TreeIO, run: Inside) -> None:
    """Enable, disable and mask systemd units.

    What is masked need not be there: it may come with a package that an appliance adds later.
    """
    known = set(unit_names(tree))
    for unit in sorted({*services.enable, *services.disable}):
        if not _exists(unit, known):
            raise RecipeError(
                f"there is no unit `{unit}` in the tree",
                hint=nearest(unit, known, "add the package that brings it to `packages.install`"),
            )
    _systemctl("enable", services.enable, run)
    _systemctl("disable", services.disable, run)
    _systemctl("mask", services.mask, run)


def unit_names(tree: TreeIO) -> Iterator[str]:
    """Name every system unit in a tree, those of init scripts included."""
    for folder in UNIT_FOLDERS:
        if tree.is_dir(folder):
            for name in tree.listdir(folder):
                if "." in name and not name.endswith((".wants", ".requires", ".d")):
                    yield name
    if tree.is_dir("etc/init.d"):
        yield from (f"{name}.service" for name in tree.listdir("etc/init.d"))


def _exists(unit: str, known: set[str]) -> bool:
    name, _, suffix = unit.rpartition(".")
    template, at, _ = name.partition("@")
    return unit in known or (at == "@" and f"{template}@.{suffix}" in known)


def _systemctl(verb: str, units: Iterable[str], run: Inside) -> None:
    for unit in units:
        command = Command(("systemctl", verb, unit), env=OFFLINE)
        done = run.require(command, f"the unit `{unit}` cannot be {verb.rstrip('e')}ed")
        if verb == "enable" and "no installation config" in done.output:
            # systemctl(1) only warns, and the service would never start.
            raise RecipeError(
                f"the unit `{unit}` cannot be enabled: it has no [Install] section",
                hint="it is started by another unit; enable that one, or remove this line",
            )
