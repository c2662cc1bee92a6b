"""Wishes: what a layer says of packages, as names and versions that apt can be told."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cmp_to_key

from builder.distros import AskedPackageError, UnknownPackageError
from builder.distros.debian.archive.indexes import NORMAL, Index, Source, field_of
from builder.distros.debian.archive.relations import clauses, compared, satisfies
from builder.model.lock import AskedLayer, Package
from builder.model.package_words import PackageWord, read_word

# Apt would find versions, parts of an archive and tasks by itself, if it had the archives' Release
# files before it, and no older lock. So they are found here: apt is told a name and a version, and
# decides on all else.


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a layer wants of apt."""

    names: tuple[str, ...] = ()
    """The names of packages that are to come."""
    arguments: tuple[str, ...] = ()
    """How apt is told of them."""
    unwanted: tuple[str, ...] = ()
    """The names of those that are to go."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Those versions that are said."""
    raised: Mapping[str, str] = field(default_factory=dict)
    """What those need from the part of an archive that they are taken from, by name."""
    words: Mapping[str, str] = field(default_factory=dict)
    """For each name the word that says it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the words of a layer against what it may choose from."""

    index: Index
    where: str
    """The distribution, suite and architecture, as people write them."""
    searched: str
    """What a hint says when nothing is near."""
    kept: Mapping[str, Collection[str]]
    """The versions of an older lock, which are taken where they fit."""

    def read(self, layer: AskedLayer) -> Wishes:
        """Give what apt is told; raises AskedPackageError for what nobody has."""
        names: dict[str, str] = {}
        arguments: list[str] = []
        versions: dict[str, str] = {}
        raised: dict[str, str] = {}
        for text in layer.install:
            word = read_word(text)
            for name in self._names(word, text):
                known_as = f"{name}:{word.arch}" if word.arch else name
                names[known_as] = text
                if not (word.version or word.target):
                    arguments.append(known_as)
                    continue
                source, version = self._version(name, word, text)
                versions[name] = version
                arguments.append(f"{known_as}={version}")
                if word.target:
                    raised |= self._needs(name, version, source)
        for name in layer.removals:
            self._check(PackageWord(name), name)
        raised = {name: version for name, version in raised.items() if name not in versions}
        return Wishes(tuple(names), tuple(arguments), layer.removals, versions, raised, names)

    def _names(self, word: PackageWord, text: str) -> tuple[str, ...]:
        """Name the packages that a word means."""
        if word.group:
            task = word.name.removeprefix("@").lower().replace(" ", "-")
            raise AskedPackageError(
                f"`{text}` is a group, as dnf has them",
                (text,),
                hint=f"for apt: the task `{task}^`, or packages by name",
            )
        if word.task:
            return self._task(word.name, text)
        self._check(word, text)
        if any(True for _ in self.index.of(word.name, word.arch)):
            return (word.name,)
        providers = self.index.providers(word.name)
        if len(providers) > 1:
            listed = ", ".join(f"`{one}`" for one in providers[:6])
            raise AskedPackageError(
                f"`{word.name}` is no package: several stand in for it",
                (text,),
                hint=f"write one of them: {listed}{' and others' if len(providers) > 6 else ''}",
            )
        return providers

    def _task(self, task: str, text: str) -> tuple[str, ...]:
        """Give a task's packages: those that say so, or the one that depends on them."""
        if found := self.index.task(task) or self.index.task(task.removeprefix("task-")):
            return found
        for name in (task, f"task-{task}"):
            if name.startswith("task-") and any(True for _ in self.index.of(name)):
                return (name,)
        raise self._unknown(f"task-{task}", text, f"there is no task `{task}` in {self.where}")

    def _check(self, word: PackageWord, text: str) -> None:
        if not self.index.has(word.name):
            problem = f"there is no package `{word.known_as}` in {self.where}"
            raise self._unknown(word.name, text, problem)
        if word.arch and not any(True for _ in self.index.of(word.name, word.arch)):
            raise UnknownPackageError(
                text,
                f"there is no package `{word.name}` for `{word.arch}` in {self.where}",
                hint=f"`{word.name}` alone is the one for the template's own architecture",
            )

    def _unknown(self, name: str, text: str, problem: str) -> UnknownPackageError:
        if name.endswith("-") and self.index.has(name[:-1]):
            hint = f'`remove = ["{name[:-1]}"]` in `[packages]` takes a package away'
        elif near := get_close_matches(name, self.index.names(), n=3, cutoff=0.75):
            hint = f"did you mean {' or '.join(f'`{other}`' for other in near)}?"
        else:
            hint = self.searched
        return UnknownPackageError(text, problem, hint=hint)

    def _version(self, name: str, word: PackageWord, text: str) -> tuple[Source, str]:
        """Choose the version that a word means: an older lock's, or the newest."""
        known = [
            (source, field_of(stanza, "Version"))
            for source, stanza in self.index.of(name, word.arch)
        ]
        fit = [one for one in known if _fits(one, word)]
        if not fit:
            raise self._no_version(name, word, known, text)
        weights = self.index.view.weights
        best = max(weights.get(source.called, NORMAL) for source, _ in fit)
        fit = [
            one
            for one in fit
            if weights.get(one[0].called, NORMAL) == best or one[1] in self.kept.get(name, ())
        ]
        newest = cmp_to_key(compared)
        return max(fit, key=lambda one: (one[1] in self.kept.get(name, ()), newest(one[1])))

    def _no_version(
        self, name: str, word: PackageWord, known: list[tuple[Source, str]], text: str
    ) -> AskedPackageError:
        listed = ", ".join(dict.fromkeys(f"`{v}` ({s.suite})" for s, v in known))
        if word.version:
            problem = f"there is no version `{word.version}` of `{name}` in {self.where}"
            return AskedPackageError(problem, (text,), hint=f"there is: {listed}")
        suites = self.index.suites()
        if word.target in suites:
            problem = f"`{word.target}` has no package `{name}`"
            return AskedPackageError(problem, (text,), hint=f"there is: {listed}")
        return AskedPackageError(
            f"`{word.target}` is no part of {self.where}",
            (text,),
            hint=f"there are: {', '.join(suites)}",
        )

    def _needs(self, name: str, version: str, source: Source) -> dict[str, str]:
        """Say what else is taken from a source because nothing else is new enough."""
        found: dict[str, str] = {}
        waiting = [(name, version)]
        while waiting:
            for clause in self._needs_of(*waiting.pop()):
                if any(self._is_had(one, source, elsewhere=True) for one in clause):
                    continue
                for one in clause:
                    if had := self._is_had(one, source, elsewhere=False):
                        if one[0] not in found:
                            found[one[0]] = had
                            waiting.append((one[0], had))
                        break
        return found

    def _needs_of(self, name: str, version: str) -> Iterator[list[tuple[str, str, str]]]:
        _, stanza = self.index.stanza(name, version)
        for key in ("Pre-Depends", "Depends"):
            yield from clauses(field_of(stanza, key))

    def _is_had(self, need: tuple[str, str, str], source: Source, *, elsewhere: bool) -> str | None:
        """Give the newest version that meets a need: of a source, or of all others."""
        name, relation, version = need
        if elsewhere and not relation and self.index.providers(name):
            return name
        found = [
            had
            for one, stanza in self.index.of(name)
            if (one.called != source.called) == elsewhere
            and satisfies(had := field_of(stanza, "Version"), relation, version)
        ]
        return max(found, key=cmp_to_key(compared)) if found else None


def _fits(one: tuple[Source, str], word: PackageWord) -> bool:
    source, version = one
    if word.target:
        return word.target in (source.suite, source.called)
    return fnmatchcase(version, word.version) if "*" in word.version else version == word.version


def kept_versions(packages: Iterable[Package], index: Index) -> dict[str, tuple[str, ...]]:
    """Give the versions that a lock has of each package, as far as they are still to be had.

    A layer may have replaced what one below has; its version is that of the last one.
    """
    found: dict[str, dict[str, str]] = {}
    for one in packages:
        if index.offers(one):
            found.setdefault(one.name, {})[one.arch] = one.version
    return {name: tuple(versions.values()) for name, versions in found.items()}
