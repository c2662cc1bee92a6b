"""What a recipe must obey beyond its types: nothing twice, nothing contradictory, known names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from builder.model.errors import RecipeError
from builder.model.lock import BASE
from builder.model.package_words import read_word
from builder.model.recipe import TARBALL, Arch, Base, Recipe
from builder.model.toml.source import Source
from builder.model.toml.spans import Where

MOVING = {
    "oldoldstable": "bullseye",
    "oldstable": "bookworm",
    "stable": "trixie",
    "testing": "forky",
    "unstable": "sid",
    "11": "bullseye",
    "12": "bookworm",
    "13": "trixie",
    "14": "forky",
}
"""What people write for a Debian suite; the same alias means another suite after each release."""


def check(recipe: Recipe, source: Source, *, suites: Mapping[str, Sequence[str]]) -> None:
    """Hold a recipe against the rules; `suites` are those of each known distribution.

    Raises RecipeError with the place of the first thing that breaks one.
    """
    if "{" in recipe.template.name or "}" in recipe.template.name:
        raise RecipeError(
            "a name with braces is one of a matrix",
            at=source.value("template", "name"),
            hint="add `[matrix]`, or take the braces out",
        )
    if recipe.template.name == BASE:
        raise RecipeError(
            f"no recipe can be called `{BASE}`",
            at=source.value("template", "name"),
            hint="a lock calls the distribution's minimum so",
        )
    _check_tarball(recipe, source)
    if recipe.base and recipe.from_ and not recipe.tarball:
        raise RecipeError(
            "a recipe has either `[base]` or `from`, not both",
            at=source.key("from"),
            hint="an OS template has `[base]`, an appliance has `from`",
        )
    if recipe.base:
        _check_base(recipe.base, source, suites)
    elif not recipe.from_:
        raise RecipeError(
            "a recipe needs `[base]` or `from`",
            at=source.key(),
            hint='add `[base]` for an OS template, or `from = "…"` for an appliance',
        )
    for where, words in _lists(recipe):
        _check_once(where, words, source)
    _check_services(recipe, source)
    _check_existing(recipe, source)
    _check_allowed(recipe, source)
    _check_first_boot(recipe, source)
    _check_packages(recipe, source)


def _check_tarball(recipe: Recipe, source: Source) -> None:
    if recipe.template.name == TARBALL:
        raise RecipeError(
            f"no recipe can be called `{TARBALL}`",
            at=source.value("template", "name"),
            hint=f'`from = "{TARBALL}"` means a root file system from elsewhere',
        )
    if recipe.from_ == TARBALL and not recipe.tarball:
        raise RecipeError(
            "it is not said which tarball",
            at=source.value("from"),
            hint="add `[tarball.amd64]` with `url` and `sha256`",
        )
    if recipe.tarball and recipe.from_ != TARBALL:
        raise RecipeError(
            "a tarball is there, and nothing starts from it",
            at=source.key("tarball"),
            hint=f'write `from = "{TARBALL}"`, or take it out',
        )
    for index, arch in enumerate(recipe.base.arch if recipe.tarball and recipe.base else ()):
        if arch not in recipe.tarball and arch is not Arch.AMD64:
            raise RecipeError(
                f"there is no tarball for `{arch}`",
                at=source.value("base", "arch", index),
                hint="each architecture has a table, and `arch` need not be said",
            )
    for arch, tarball in recipe.tarball.items():
        if (tarball.url is None) == (tarball.path is None):
            raise RecipeError(
                "a tarball has either `url` or `path`",
                at=source.key("tarball", arch),
                hint="`url` is downloaded, `path` lies below the recipe's folder",
            )
    for index, fetch in enumerate(recipe.fetch):
        if fetch.strip and not fetch.extract:
            raise RecipeError(
                "`strip` is for tar files",
                at=source.key("fetch", index, "strip"),
                hint="add `extract = true`, or take it out",
            )


def _check_base(base: Base, source: Source, suites: Mapping[str, Sequence[str]]) -> None:
    from builder.model.toml.diagnostics import did_you_mean, quoted

    if base.distro not in suites:
        raise RecipeError(
            f"unknown distro {quoted(base.distro)}",
            at=source.value("base", "distro"),
            hint=did_you_mean(base.distro, suites) or f"known: {', '.join(suites)}",
        )
    known = suites[base.distro]
    if base.suite in known:
        return
    at = source.value("base", "suite")
    pocket = next((suite for suite in known if base.suite.startswith(f"{suite}-")), None)
    if pocket:
        raise RecipeError(
            f"{quoted(base.suite)} is a part of the suite `{pocket}`, not one to build from",
            at=at,
            hint=f'write `suite = "{pocket}"`; its security and updates parts are always used',
        )
    if MOVING.get(base.suite) in known:
        raise RecipeError(
            f"`{base.suite}` is not a suite's code name",
            at=at,
            hint=f'write `suite = "{MOVING[base.suite]}"`',
        )
    raise RecipeError(
        f"unknown suite {quoted(base.suite)}",
        at=at,
        hint=did_you_mean(base.suite, known) or f"known: {', '.join(known)}",
    )


def _lists(recipe: Recipe) -> Iterator[tuple[list[Where], list[str]]]:
    """Give every list in which nothing may stand twice: the place and the word of each item."""
    for where, words in _written_lists(recipe):
        yield [(*where, index) for index in range(len(words))], list(words)
    yield from _named_tables(recipe)


def _written_lists(recipe: Recipe) -> list[tuple[Where, Sequence[str]]]:
    """Give the lists that a recipe writes as such."""
    lists: list[tuple[Where, Sequence[str]]] = [
        (("packages", "install"), recipe.packages.install),
        (("packages", "remove"), recipe.packages.remove),
        (("packages", "hold"), recipe.packages.hold),
        (("packages", "languages"), recipe.packages.languages or ()),
        (("debconf", "selections"), recipe.debconf.selections),
        (("services", "enable"), recipe.services.enable),
        (("services", "disable"), recipe.services.disable),
        (("services", "mask"), recipe.services.mask),
        (("services", "enable-for-users"), recipe.services.enable_for_users),
        (("probe", "may-fail"), recipe.probe.may_fail),
    ]
    if recipe.base:
        lists.append((("base", "arch"), recipe.base.arch))
        lists.append((("base", "components"), recipe.base.components))
    for index, user in enumerate(recipe.user):
        lists.append((("user", index, "groups"), user.groups))
        lists.append((("user", index, "ssh-keys"), user.ssh_keys))
    for index, command in enumerate(recipe.first_boot):
        lists.append((("first-boot", index, "makes"), command.makes))
        lists.append((("first-boot", index, "after"), command.after))
        lists.append((("first-boot", index, "before"), command.before))
    for index, one in enumerate(recipe.repository):
        lists.append((("repository", index, "suites"), one.suites))
        lists.append((("repository", index, "components"), one.components))
        lists.append((("repository", index, "architectures"), one.architectures))
    return lists


def _named_tables(recipe: Recipe) -> Iterator[tuple[list[Where], list[str]]]:
    """Give what tells the tables of a list from one another."""
    users, uids, ports = recipe.user, [user.uid for user in recipe.user], recipe.port
    secrets = [secret.name for secret in recipe.secret]
    yield [("secret", i, "name") for i in range(len(secrets))], secrets
    archives = [one.name for one in recipe.repository]
    yield [("repository", i, "name") for i in range(len(archives))], archives
    fetched = [(i, one.path) for i, one in enumerate(recipe.fetch) if not one.extract]
    yield [("fetch", i, "path") for i, _ in fetched], [path for _, path in fetched]
    files = [one.path.rstrip("/") for one in recipe.file]
    yield [("file", i, "path") for i in range(len(files))], files
    first = [one.name for one in recipe.first_boot]
    yield [("first-boot", i, "name") for i in range(len(first))], first
    allowed = [one.path.rstrip("/") for one in recipe.allow]
    yield [("allow", i, "path") for i in range(len(allowed))], allowed
    groups = recipe.group
    yield [("group", i, "name") for i in range(len(groups))], [group.name for group in groups]
    gids = [(i, group.gid) for i, group in enumerate(groups) if group.gid is not None]
    yield [("group", i, "gid") for i, _ in gids], [str(gid) for _, gid in gids]
    yield [("user", i, "name") for i in range(len(users))], [user.name for user in users]
    given = [(i, uid) for i, uid in enumerate(uids) if uid is not None]
    yield [("user", i, "uid") for i, _ in given], [str(uid) for _, uid in given]
    yield (
        [("script", i, "path") for i in range(len(recipe.script))],
        [script.path for script in recipe.script],
    )
    yield (
        [("port", i, "port") for i in range(len(ports))],
        [f"{port.port}/{port.protocol}" for port in ports],
    )


def _check_once(where: Sequence[Where], words: Iterable[str], source: Source) -> None:
    seen: dict[str, Where] = {}
    for place, word in zip(where, words, strict=True):
        if word in seen:
            first = source.value(*seen[word])
            raise RecipeError(
                f"`{word}` is there twice",
                at=source.value(*place),
                hint=f"take this one out; the first is in line {first.line}",
            )
        seen[word] = place


def _check_services(recipe: Recipe, source: Source) -> None:
    services = recipe.services
    for index, unit in enumerate(services.enable):
        for against, units in (("mask", services.mask), ("disable", services.disable)):
            if unit in units:
                raise RecipeError(
                    f"`{unit}` is in both `enable` and `{against}`",
                    at=source.value("services", "enable", index),
                    hint="keep it in one of the two",
                )


def _check_existing(recipe: Recipe, source: Source) -> None:
    for index, user in enumerate(recipe.user):
        given = {"uid": user.uid, "group": user.group, "home": user.home, "gecos": user.gecos}
        for key, value in {**given, "system": user.system}.items():
            if user.existing and value:
                raise RecipeError(
                    f"`{key}` cannot be said of an account that is there already",
                    at=source.key("user", index, key),
                    hint="take it out, or leave out `existing`",
                )


def _check_allowed(recipe: Recipe, source: Source) -> None:
    for index, one in enumerate(recipe.allow):
        if not one.path.strip("/"):
            raise RecipeError(
                "`/` would let every secret into the template",
                at=source.value("allow", index, "path"),
                hint="name the file that the build refuses, or its folder",
            )


def _check_first_boot(recipe: Recipe, source: Source) -> None:
    for index, one in enumerate(recipe.first_boot):
        if not one.run or not one.run[0]:
            raise RecipeError(
                "there is nothing to run",
                at=source.value("first-boot", index, "run"),
                hint='`run = "setup"` is a program of the recipe, `run = ["dkms", "autoinstall"]` a'
                " command",
            )
        if one.before and not one.after:
            raise RecipeError(
                "it comes before all services without that",
                at=source.key("first-boot", index, "before"),
                hint="take it out, or say in `after` what it needs",
            )
        for place, path in enumerate(one.makes):
            if not path.strip("/"):
                raise RecipeError(
                    "`/` would be removed from the template",
                    at=source.value("first-boot", index, "makes", place),
                    hint="name the files that it makes",
                )


def _check_packages(recipe: Recipe, source: Source) -> None:
    """See that one package is not asked for in two ways, nor asked for and not wanted."""
    asked: dict[str, str] = {}
    for index, text in enumerate(recipe.packages.install):
        name = read_word(text).known_as
        if name in asked:
            raise RecipeError(
                f"`{name}` is asked for in two ways",
                at=source.value("packages", "install", index),
                hint=f"keep `{asked[name]}` or `{text}`",
            )
        asked[name] = text
    for index, name in enumerate(recipe.packages.remove):
        if name in asked or name in recipe.packages.hold:
            other = "install" if name in asked else "hold"
            raise RecipeError(
                f"`{name}` is in both `remove` and `{other}`",
                at=source.value("packages", "remove", index),
                hint="keep it in one of the two",
            )
