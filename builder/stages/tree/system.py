"""System settings in a tree: locale, time zone, and which systemd units start."""

import stat
from collections.abc import Iterable, Iterator, Mapping

from builder.host.programs import Command, Done
from builder.host.sandbox.sandbox import Inside
from builder.host.trees.treeio import TreeIO
from builder.model.recipe.content import Services, System
from builder.model.toml.spans import Where
from builder.stages.tree.accounts import nearest
from builder.stages.tree.asked import AskedError

UNIT_FOLDERS = ("usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system")
USER_UNIT_FOLDERS = ("usr/lib/systemd/user", "lib/systemd/user", "etc/systemd/user")
BUILTIN_LOCALES = ("C", "POSIX", "C.UTF-8")
ZONES = "usr/share/zoneinfo"
SUPPORTED = "usr/share/i18n/SUPPORTED"

# systemctl finds out by /proc/1/root whether it runs in a chroot, which a PID namespace hides.
OFFLINE = {"SYSTEMD_OFFLINE": "1"}


# Time zone and locale


def set_system(system: System | None, tree: TreeIO, run: Inside) -> None:
    """Set what is asked for; nothing asked for changes nothing."""
    if system is None:
        return
    set_timezone(system.timezone, tree)
    _set_locales(system, tree, run)
    if system.keyboard is not None:
        _set_keyboard(system.keyboard, tree)
    if system.target is not None:
        _refuse_unknown(system.target, set(unit_names(tree)), ("system", "target"))
        _systemctl(("set-default", system.target), run)


def set_timezone(zone: str, tree: TreeIO) -> None:
    """Link /etc/localtime (localtime(5)) and name the zone in /etc/timezone."""
    # Without tzdata there is only UTC, which a dangling link means as well.
    if zone != "Etc/UTC" and not tree.is_file(f"{ZONES}/{zone}"):
        known = _zones(tree)
        raise AskedError(
            f"there is no time zone `{zone}`",
            ("system", "timezone"),
            hint=nearest(zone, known, "`timedatectl list-timezones` lists them")
            if known
            else "add `tzdata` to `packages.install`",
        )
    tree.symlink("etc/localtime", f"/{ZONES}/{zone}")
    tree.write_bytes("etc/timezone", f"{zone}\n".encode())


def _set_keyboard(layout: str, tree: TreeIO) -> None:
    """Name the layout to Debian's console-setup (keyboard(5)) and to systemd (vconsole.conf(5))."""
    rows = {"XKBMODEL": "pc105", "XKBLAYOUT": layout, "XKBVARIANT": "", "XKBOPTIONS": ""}
    text = "".join(f'{name}="{value}"\n' for name, value in rows.items())
    tree.mkdir("etc/default")
    tree.write_bytes("etc/default/keyboard", text.encode())
    tree.write_bytes("etc/vconsole.conf", f"KEYMAP={layout}\nXKBLAYOUT={layout}\n".encode())


def _zones(tree: TreeIO) -> list[str]:
    if not tree.is_dir(ZONES):
        return []
    paths = (path for path, status in tree.walk(ZONES) if not stat.S_ISDIR(status.st_mode))
    return [path.removeprefix(f"{ZONES}/") for path in paths]


def _set_locales(system: System, tree: TreeIO, run: Inside) -> None:
    """Make the locales that libc has not built in, and have one be the default."""
    wanted: dict[str, Where] = {system.locale: ("system", "locale")}
    wanted |= {one: ("system", "locales", at) for at, one in enumerate(system.locales)}
    # Fedora's glibc-langpack packages bring theirs ready for use.
    missing = {
        one: where
        for one, where in wanted.items()
        if one not in BUILTIN_LOCALES
        and not tree.is_dir(f"usr/lib/locale/{one.replace('UTF-8', 'utf8')}")
    }
    if missing:
        _generate(missing, tree, run)
    # locale.conf(5); Debian's PAM and older systemd read /etc/default/locale instead.
    tree.write_bytes("etc/locale.conf", f"LANG={system.locale}\n".encode())
    tree.symlink("etc/default/locale", "../locale.conf")


def _generate(missing: Mapping[str, Where], tree: TreeIO, run: Inside) -> None:
    if not tree.is_file("usr/sbin/locale-gen"):
        locale, where = next(iter(missing.items()))
        language = locale.partition("_")[0]
        package = "locales" if tree.is_dir("var/lib/dpkg") else f"glibc-langpack-{language}"
        raise AskedError(
            f"the locale `{locale}` has to be generated",
            where,
            hint=f"add `{package}` to `packages.install`, or use `C.UTF-8`",
        )
    rows = tree.read_bytes(SUPPORTED).decode().split("\n")
    charsets = dict(row.split(maxsplit=1) for row in rows if len(row.split()) == 2)
    for locale, where in missing.items():
        if locale not in charsets:
            raise AskedError(
                f"there is no locale `{locale}`",
                where,
                hint=nearest(locale, charsets, "locales look like `de_DE.UTF-8`"),
            )
    lines = "".join(f"{locale} {charsets[locale]}\n" for locale in missing)
    tree.write_bytes("etc/locale.gen", lines.encode())
    run.require(Command(("locale-gen",)), "the locales could not be generated")


# Services


def set_services(services: Services, tree: TreeIO, run: Inside) -> None:
    """Enable, disable and mask systemd units.

    What is masked need not be there: it may come with a package that an appliance adds later.
    """
    known, of_users = set(unit_names(tree)), set(_names_in(USER_UNIT_FOLDERS, tree))
    for key, units, there in (
        ("enable", services.enable, known),
        ("disable", services.disable, known),
        ("enable-for-users", services.enable_for_users, of_users),
    ):
        for index, unit in enumerate(units):
            _refuse_unknown(unit, there, ("services", key, index))
    for index, unit in enumerate(services.enable):
        _enable(("enable", unit), run, ("services", "enable", index))
    for index, unit in enumerate(services.enable_for_users):
        _enable(("--global", "enable", unit), run, ("services", "enable-for-users", index))
    for unit in services.disable:
        _systemctl(("disable", unit), run)
    for unit in services.mask:
        _systemctl(("mask", unit), run)


def unit_names(tree: TreeIO) -> Iterator[str]:
    """Name every system unit in a tree, those of init scripts included."""
    yield from _names_in(UNIT_FOLDERS, tree)
    if tree.is_dir("etc/init.d"):
        yield from (f"{name}.service" for name in tree.listdir("etc/init.d"))


def _names_in(folders: Iterable[str], tree: TreeIO) -> Iterator[str]:
    for folder in folders:
        if tree.is_dir(folder):
            for name in tree.listdir(folder):
                if "." in name and not name.endswith((".wants", ".requires", ".d")):
                    yield name


def _refuse_unknown(unit: str, known: set[str], where: Where) -> None:
    if not _exists(unit, known):
        raise AskedError(
            f"there is no unit `{unit}` in the tree",
            where,
            hint=nearest(unit, known, "add the package that brings it to `packages.install`"),
        )


def _exists(unit: str, known: set[str]) -> bool:
    name, _, suffix = unit.rpartition(".")
    template, at, _ = name.partition("@")
    return unit in known or (at == "@" and f"{template}@.{suffix}" in known)


def _enable(words: tuple[str, ...], run: Inside, where: Where) -> None:
    done = _systemctl(words, run)
    if "no installation config" in done.output:
        # systemctl(1) only warns, and the service would never start.
        raise AskedError(
            f"the unit `{words[-1]}` cannot be enabled: it has no [Install] section",
            where,
            hint="it is started by another unit; enable that one, or remove this line",
        )


def _systemctl(words: tuple[str, ...], run: Inside) -> Done:
    command = Command(("systemctl", *words), env=OFFLINE)
    return run.require(command, f"`systemctl {' '.join(words)}` does not work in the tree")
