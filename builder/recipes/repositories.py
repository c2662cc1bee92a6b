"""Repositories: the archives that recipes add to their distribution's, with their keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.distros import TABLE, RepositorySource, TemplateRepository
from builder.distros.openpgp import NoKeyError, PublicKey, public_keys
from builder.model.errors import RecipeError, Span, TrustError
from builder.model.lock import AskedRepository
from builder.model.recipe import Arch, Repository
from builder.recipes.loaded import LoadedRecipe

KEYRINGS = (
    Path("/usr/share/keyrings"),
    Path("/etc/apt/keyrings"),
    Path("/etc/apt/trusted.gpg.d"),
    Path("/usr/share/distribution-gpg-keys"),
    Path("/etc/pki/rpm-gpg"),
)
"""Where a key that a recipe knows by its fingerprint alone is looked for."""

LIMIT = 4 << 20
"""No file of keys is larger, in bytes; what is cut off makes one damaged."""


@dataclass(frozen=True, slots=True)
class AddedRepository:
    """A repository, and the recipe that says it."""

    repository: Repository
    loaded: LoadedRecipe
    index: int

    def at(self, key: str) -> Span:
        """Give the place of a key, or of the whole table if it is not there."""
        return self.loaded.source.value("repository", self.index, key)

    @property
    def key_at(self) -> Span:
        """Give the place that says whose signature counts."""
        return self.at("key" if self.repository.key else "fingerprint")

    def signers(self) -> tuple[PublicKey, ...]:
        """Read the keys that may sign it; raises RecipeError, or TrustError for another key."""
        wanted = (self.repository.fingerprint or "").replace(" ", "").upper()
        if self.repository.key is None:
            return (self._known_here(wanted),)
        found = self._of_file(self.repository.key)
        if not wanted:
            return found
        for key in found:
            if key.fingerprint == wanted:
                return (key,)
        raise TrustError(
            f"`{self.repository.key}` has another key than the recipe says",
            at=self.at("fingerprint"),
            hint=f"its fingerprint is {' or '.join(key.fingerprint for key in found)}",
        )

    def _of_file(self, name: str) -> tuple[PublicKey, ...]:
        path, project = self.loaded.folder / name, self.loaded.project
        if not project.is_file(path):
            raise RecipeError(
                f"there is no key `{name}`", at=self.key_at, hint=f"it belongs in `{path}`"
            )
        with project.opened(path) as fd, open(fd, "rb", closefd=False) as file:
            data = file.read(LIMIT)
        try:
            return public_keys(data)
        except NoKeyError as error:
            hint = "`gpg --armor --export FINGERPRINT` writes one, and so do most archives"
            raise RecipeError(f"`{name}` {error}", at=self.key_at, hint=hint) from error

    def _known_here(self, fingerprint: str) -> PublicKey:
        for folder in KEYRINGS:
            for path in sorted(folder.glob("**/*")):
                if path.is_file() and path.stat().st_size <= LIMIT:
                    for key in _keys_of(path):
                        if key.fingerprint == fingerprint:
                            return key
        raise RecipeError(
            f"no keyring of this machine has the key {fingerprint}",
            at=self.key_at,
            hint="put its file into the recipe's folder, and name it as `key`; looked into"
            f" {', '.join(map(str, KEYRINGS))}",
        )


def _keys_of(path: Path) -> tuple[PublicKey, ...]:
    try:
        return public_keys(path.read_bytes())
    except (NoKeyError, OSError):
        return ()


def added(loaded: LoadedRecipe, arch: Arch | None = None) -> Iterator[AddedRepository]:
    """Give the repositories that a recipe adds to those of the recipes below it."""
    for index, one in enumerate(loaded.recipe.repository):
        if arch is None or not one.architectures or arch in one.architectures:
            mine = AddedRepository(one, loaded, index)
            if not any(other.repository.name == one.name for other in _below(loaded)):
                yield mine


def _below(loaded: LoadedRecipe) -> Iterator[AddedRepository]:
    base = loaded.base
    while base is not None:
        for index, one in enumerate(base.recipe.repository):
            yield AddedRepository(one, base, index)
        base = base.base


def check_repositories(loaded: LoadedRecipe) -> None:
    """Hold the repositories of a recipe against its distribution, and against those below."""
    lowest = loaded
    while lowest.base is not None:
        lowest = lowest.base
    for index, one in enumerate(loaded.recipe.repository):
        mine = AddedRepository(one, loaded, index)
        if lowest.recipe.base is None:
            raise RecipeError(
                "a tarball of which nobody knows the distribution has no use for repositories",
                at=mine.at("name"),
                hint=f"say it in `[base]` of `{lowest.path.name}`; or an overlay can tell its"
                " package manager",
            )
        _check_signer(mine)
        rpm = TABLE[lowest.recipe.base.distro].packages == "rpm"
        (_check_rpm if rpm else _check_deb)(mine)
        for other in _below(loaded):
            if other.repository.name == one.name:
                _check_same(mine, other)


def _check_signer(mine: AddedRepository) -> None:
    one = mine.repository
    if one.key is None and one.fingerprint is None:
        raise RecipeError(
            f"it is not said who signs `{one.name}`",
            at=mine.at("name"),
            hint="add `key`, a file in the recipe's folder, or `fingerprint`",
        )
    if one.key is not None:
        mine.signers()


def _check_rpm(mine: AddedRepository) -> None:
    one = mine.repository
    for key in ("suites", "components"):
        if getattr(one, key):
            raise RecipeError(
                f"a repository of RPM packages has no {key}",
                at=mine.at(key),
                hint="`url` is the folder that holds `repodata/`",
            )
    if one.priority is not None and not 1 <= one.priority <= 99:
        raise RecipeError("dnf's priorities are from 1, the highest, to 99", at=mine.at("priority"))


def _check_deb(mine: AddedRepository) -> None:
    one = mine.repository
    flat = [suite for suite in one.suites if suite.endswith("/")]
    if not one.suites:
        raise RecipeError(
            f"it is not said which suites of `{one.name}` are used",
            at=mine.at("name"),
            hint='add `suites`, such as `suites = ["bookworm"]`; `["./"]` for a flat archive',
        )
    if flat and (len(one.suites) > 1 or one.components):
        raise RecipeError(
            "a flat archive has one suite, and no components",
            at=mine.at("components" if one.components else "suites"),
            hint="make a `[[repository]]` of each, without `components`",
        )
    if not flat and not one.components:
        raise RecipeError(
            f"it is not said which components of `{one.name}` are used",
            at=mine.at("suites"),
            hint='add `components`, such as `components = ["main"]`',
        )


def _check_same(mine: AddedRepository, other: AddedRepository) -> None:
    """Refuse a name that means something else in a lower layer."""
    one, before = mine.repository, other.repository
    if one == before and [key.fingerprint for key in mine.signers()] == [
        key.fingerprint for key in other.signers()
    ]:
        return
    first = other.at("name")
    raise RecipeError(
        f"`{other.loaded.name}`, which this stands on, has another repository `{one.name}`",
        at=mine.at("name"),
        hint=f"take another name, or say the same as `{first.path}` does in line {first.line}",
    )


def asked_repositories(loaded: LoadedRecipe, arch: Arch) -> tuple[AskedRepository, ...]:
    """Give what decides which packages are chosen."""
    return tuple(
        AskedRepository(
            name=one.repository.name,
            url=one.repository.url,
            suites=one.repository.suites,
            components=one.repository.components,
            priority=one.repository.priority,
            keys=tuple(sorted(key.fingerprint for key in one.signers())),
        )
        for one in added(loaded, arch)
    )


def repository_sources(layers: tuple[LoadedRecipe, ...], arch: Arch) -> dict[str, RepositorySource]:
    """Give what else must be known to fetch what they have."""
    return {
        one.repository.name: RepositorySource(
            b"".join(key.data for key in one.signers()), one.at("url"), one.key_at
        )
        for loaded in layers
        for one in added(loaded, arch)
    }


def kept(loaded: LoadedRecipe, arch: Arch) -> Iterator[TemplateRepository]:
    """Give the repositories that a recipe leaves in its template."""
    for one in added(loaded, arch):
        if one.repository.keep:
            yield TemplateRepository(one.repository, b"".join(key.data for key in one.signers()))
