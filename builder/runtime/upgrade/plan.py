"""The plan of an upgrade: what a new template and an administrator have each done to every file."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from builder.distros.package_manager import (
    InstalledPackage,
    PackageDifference,
    PackageWork,
    changes,
    package_manager,
    unread_changes,
)
from builder.host.overlayfs.layered import LayeredEntry
from builder.model.errors import ConflictError
from builder.model.value import Value
from builder.runtime.diff.difference import TEXT_LIMIT, Difference, differences, layers_on, same
from builder.runtime.diff.ignored import ignored_paths, matches
from builder.runtime.upgrade import merge
from builder.runtime.upgrade.merge import BESIDE, Three, rule_of

Verdict = Literal["kept", "identical", "updated", "merged", "conflict", "hidden"]


class Line(Value, frozen=True, kw_only=True):
    """What becomes of one path."""

    path: str
    verdict: Verdict
    """kept: only the container has changed it. identical: both to the same. updated: only the
    template has. merged: both, and the result has both. conflict: both; the container's stays.
    hidden: the template has added it where the container hides all that is below."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Take:
    """Show what the new template has at a path, which a layer covers."""

    path: str
    new: LayeredEntry | None
    """None where the template has nothing there."""


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """Put a file there, with the owner and mode of another one."""

    path: str
    data: bytes
    like: LayeredEntry
    attributes: dict[str, bytes]


Step = Take | PlannedWrite


@dataclass(slots=True)
class UpgradePlan:
    """All that an upgrade will do to files, and what is to be done inside afterwards."""

    lines: list[Line] = field(default_factory=list)
    """Without logs, caches and the like."""
    steps: list[Step] = field(default_factory=list)
    work: PackageWork = field(default_factory=PackageWork)
    """What is to become of packages, once it runs."""
    libraries: bool = False
    """Whether ldconfig has to run."""

    def counts(self) -> dict[str, int]:
        """Count the paths of each verdict."""
        return dict(Counter(line.verdict for line in self.lines))


class Trees:
    """The container's layers on both templates, and what keeps its packages."""

    def __init__(self, folders: tuple[Path, ...], old: Path, new: Path) -> None:
        self.on_old = layers_on(folders, old)
        self.on_new = layers_on(folders, new)
        self.templates = layers_on((new,), old, shows=False)
        self.manager = package_manager(self.on_old)
        self._tables = tuple(row.path for row in self.manager.own if row.how == "database")

    def __enter__(self) -> "Trees":  # noqa: PYI034  # nobody derives from it
        return self

    def __exit__(self, *_: object) -> None:
        for layers in (self.on_old, self.on_new, self.templates):
            layers.__exit__()

    def is_database(self, path: str) -> bool:
        """Tell whether a path must be the template's: quickly, for there may be millions."""
        return matches(path, self._tables) and rule_of(path, self.manager.own) == "database"


def make(trees: Trees, *, reinstall: bool) -> UpgradePlan:
    """Compare all three sides; raises ConflictError for what Oven cannot decide, all at once."""
    plan = UpgradePlan()
    changed = changes(trees.on_old)
    if changed and not reinstall:
        raise _packages_differ(changed)
    owned = _plan_packages(trees, changed, plan)
    by_container, from_new = _both(trees, owned, plan)
    merger, ignored = _Merger(trees, plan), ignored_paths(trees.manager)
    for path in sorted(by_container.keys() | from_new.keys()):
        seen = (by_container.get(path) or from_new[path]).pair.seen
        if path in owned or trees.is_database(path):
            if path in from_new:
                merger.take(path, seen, "belongs to a package")
        elif path not in from_new:
            plan.lines.append(Line(path=path, verdict="identical"))
        elif path not in by_container:
            merger.follow(path, seen)
        else:
            merger.decide(path, seen)
    _add_updated(trees, plan)
    plan.lines = sorted(
        (line for line in plan.lines if not matches(line.path, ignored)),
        key=lambda line: line.path,
    )
    plan.libraries = any(step.path == "etc/ld.so.cache" for step in plan.steps)
    merger.refuse()
    return plan


def _both(
    trees: Trees, owned: set[str], plan: UpgradePlan
) -> tuple[dict[str, Difference], dict[str, Difference]]:
    """Give what differs from the old template, and from the new one.

    What neither has, which may be millions of files, is noted as kept and given no more.
    """
    by_container: dict[str, Difference] = {}
    for one in differences(trees.on_old, everything=True):
        path = one.row.path
        own = one.row.what == "added" and trees.on_new.below(path) is None
        if own and path not in owned and not trees.is_database(path):
            plan.lines.append(Line(path=path, verdict="kept"))
        else:
            by_container[path] = one
    from_new = {
        one.row.path: one
        for one in differences(trees.on_new, everything=True)
        if one.row.what != "added"
        or one.row.path in by_container
        or trees.on_old.below(one.row.path) is not None
    }
    return by_container, from_new


class _Merger:
    """Decides path by path, and gathers what has to be refused."""

    def __init__(self, trees: Trees, plan: UpgradePlan) -> None:
        self._trees, self._plan = trees, plan
        self._refused: list[str] = []

    def take(self, path: str, seen: LayeredEntry | None, note: str = "") -> None:
        """Take what the template has."""
        new = self._trees.on_new.below(path)
        if seen is not None and seen.is_folder and (new is None or not new.is_folder):
            if new is not None:
                self._say(path, "conflict", "a folder here, and none in the template")
            return  # a folder may hold what is the container's own
        self._plan.steps.append(Take(path, new))
        self._say(path, "updated", note)

    def follow(self, path: str, seen: LayeredEntry | None) -> None:
        """Handle what is as in the old template, and not as in the new one."""
        if seen is None:
            self._say(path, "hidden", "the container has deleted the folder, or what was there")
        else:
            self.take(path, seen)

    def decide(self, path: str, seen: LayeredEntry | None) -> None:
        """Handle what is neither as in the old template nor as in the new one."""
        old, new = self._trees.on_old.below(path), self._trees.on_new.below(path)
        if same(old, new):
            self._say(path, "kept")
            return
        how = rule_of(path, self._trees.manager.own)
        if how == "keep":
            self._say(path, "kept")
        elif how == "template":
            self.take(path, seen)
        elif (three := _three(old, new, seen)) is None or seen is None or new is None:
            self._stay(path, new, seen)
        elif how == "accounts":
            self._refused += merge.clashes(three, path)
            self._write(path, merge.merge_accounts(three), seen)
        elif (data := merge.merge_lines(three)) is not None:
            self._write(path, data, seen)
        else:
            self._stay(path, new, seen)

    def refuse(self) -> None:
        """Raise ConflictError when there is something that only a person can decide."""
        if self._refused:
            raise ConflictError(
                "ids of users or groups mean different names in the container and the template: "
                + "; ".join(self._refused),
                hint="change the ids in the container (usermod(8), groupmod(8)); nothing was "
                "changed",
            )

    def _write(self, path: str, data: bytes, seen: LayeredEntry) -> None:
        self._plan.steps.append(PlannedWrite(path, data, seen, seen.attributes()))
        self._say(path, "merged")

    def _stay(self, path: str, new: LayeredEntry | None, seen: LayeredEntry | None) -> None:
        if new is None:
            self._say(path, "conflict", "the template has it no more; the container's stays")
        elif seen is None:
            self._say(path, "conflict", "deleted in the container, and it stays so")
        elif new.is_file and new.status.st_size <= TEXT_LIMIT:
            data = new.read(TEXT_LIMIT)
            self._plan.steps.append(PlannedWrite(path + BESIDE, data, new, new.attributes()))
            self._say(path, "conflict", f"the template's is in /{path}{BESIDE}")
        else:
            self._say(path, "conflict", "the container's stays")

    def _say(self, path: str, verdict: Verdict, note: str = "") -> None:
        self._plan.lines.append(Line(path=path, verdict=verdict, note=note))


def _three(
    old: LayeredEntry | None, new: LayeredEntry | None, own: LayeredEntry | None
) -> Three | None:
    """Read a file on all sides; without an old one both have added it."""
    if new is None or own is None:
        return None
    sides = [one for one in (old, new, own) if one is not None]
    if not all(one.is_file and one.status.st_size <= TEXT_LIMIT for one in sides):
        return None
    before = old.read(TEXT_LIMIT) if old is not None else b""
    return Three(before, new.read(TEXT_LIMIT), own.read(TEXT_LIMIT))


def _plan_packages(trees: Trees, changed: PackageDifference, plan: UpgradePlan) -> set[str]:
    """Note what has to be installed and removed again; give the paths that packages own."""
    if (path := unread_changes(trees.on_old)) is not None:
        raise ConflictError(
            f"the container has packages of its own, and Oven cannot read what keeps them: /{path}",
            hint="build a template that has them, and make a new container of it",
        )
    if not changed:
        return set()
    manager, on_old = trees.manager, trees.on_old
    there = manager.installed(trees.on_new.below)
    wanted = [one for one in changed.added if (one.name, one.arch) not in there]
    for _, after in changed.changed:
        known = there.get((after.name, after.arch))
        if known is None or known.version != after.version:
            wanted.append(after)
    gone = [one for one in changed.removed if (one.name, one.arch) in there]
    plan.work = PackageWork(
        install=_specs(wanted),
        automatic=_specs(one for one in wanted if one.automatic),
        remove=_specs(gone),
        configs=tuple(sorted(manager.contents(on_old.find, wanted).configs)),
    )
    now = manager.contents(on_old.find, (*changed.added, *(b for _, b in changed.changed)))
    before = manager.contents(on_old.below, (*changed.removed, *(a for a, _ in changed.changed)))
    owned = now.files | before.files
    merged = {f"usr/{path}" for path in owned if path.startswith(("bin/", "lib", "sbin/"))}
    return (owned | merged) - now.configs.keys() - before.configs.keys()


def _specs(packages: Iterable[InstalledPackage]) -> tuple[str, ...]:
    return tuple(one.spec for one in packages)


def _packages_differ(changed: PackageDifference) -> ConflictError:
    lines = changed.lines()
    shown = ", ".join(lines[:20]) + (f" and {len(lines) - 20} more" if len(lines) > 20 else "")
    return ConflictError(
        f"the container has other packages than its template ({shown})",
        hint="build a template that has them, or add `--reinstall`: then they are installed and "
        "removed again on the new template, inside the container",
    )


def _add_updated(trees: Trees, plan: UpgradePlan) -> None:
    """Tell what only the template has changed, of which nothing needs to be done."""
    known = {line.path for line in plan.lines}
    for one in differences(trees.templates, everything=True):
        if one.row.path not in known:
            plan.lines.append(Line(path=one.row.path, verdict="updated"))
