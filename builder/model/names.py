"""Names, paths and other words that a recipe may say, each with its pattern."""

from typing import Annotated

import msgspec

# In these patterns `\Z` ends the text: Python's `$` would let a line feed follow.

Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9.-]{0,62}\Z",
        title="a template name",
        description="lower case letters, digits, dots and dashes, at most 63",
    ),
]
"""A template's name."""

NameOfMany = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9{][a-z0-9.{}-]{0,62}\Z",
        title="a template name",
        description="lower case letters, digits, dots and dashes, at most 63",
    ),
]
"""A template's name, or with `{suite}` and `{variant}` the names of many."""

PackageName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9+._-]*\Z",
        title="a package name",
        description="letters, digits, plus, minus, dot and underscore, a letter or digit first",
    ),
]
"""Debian Policy 5.6.1, and what Fedora's packaging guidelines allow beyond it."""

AskedPackage = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            r"^([A-Za-z0-9][A-Za-z0-9+._-]*(-[0-9][A-Za-z0-9+._~-]*\*|(:[a-z0-9]+)?"
            r"(=[A-Za-z0-9.+~:*_-]+|/[A-Za-z0-9][A-Za-z0-9.+~_-]*|\^)?)"
            r"|@[A-Za-z0-9]([A-Za-z0-9 +._-]*[A-Za-z0-9+._-])?)\Z"
        ),
        title="a package to install",
        description=(
            "letters, digits, `+-._`; apt: `nginx=1*`, `nginx/SUITE`, `libc6:i386`, `shop^`;"
            " dnf: `@group`"
        ),
    ),
]
"""A package's name, and which one of that name; apt-get(8) and dnf(8) have more of that."""

AccountName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z_][a-z0-9_-]{0,31}\Z",
        title="an account name",
        description="lower case letters, digits, `_` and `-`, at most 32, no digit first",
    ),
]
"""useradd(8): what Debian's NAME_REGEX takes."""

UnitName = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            r"^[A-Za-z0-9:_.\\@-]+"
            r"\.(service|socket|target|timer|path|mount|automount|device|slice|swap)\Z"
        ),
        title="a systemd unit name",
        description="with its suffix: `nginx.service`",
    ),
]
"""systemd.unit(5), with its suffix."""

UnitPart = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z",
        title="a part of a unit's name",
        description="lower case letters, digits and dashes, at most 63",
    ),
]
"""What can stand in the name of a unit and of a file."""

RelativePath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!/)(?!(.*/)?\.\.(/|\Z)).+\Z",
        title="a path below the recipe's folder",
        description="relative, and without `..`",
    ),
]
"""A path below the recipe's folder, with no `..` in it."""

Language = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z]{2,3}(_[A-Z]{2})?(@[a-z]+)?\Z",
        title="a language",
        description="as gettext has it: `de`, `pt_BR`, `sr@latin`",
    ),
]
"""A language of translations; `de` also means those of countries, such as `de_AT`."""

IncludePath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!/).*\.toml\Z",
        title="a path beside the recipe",
        description="relative, in the same project, and ending in `.toml`",
    ),
]
"""A path of a TOML file, relative to the folder of the file that says it."""

ProfileName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,30}\Z",
        title="a profile's name",
        description="lower case letters, digits and dashes, at most 31",
    ),
]

PartOfRecipe = dict[
    str,
    Annotated[
        object, msgspec.Meta(title="a part of a recipe", extra_json_schema={"title": "part"})
    ],
]
"""The keys of a recipe; they are checked once they are laid over it."""

AbsolutePath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^/(?!(.*/)?\.\.(/|\Z))[^:\n]*\Z",
        title="an absolute path",
        description="it starts with `/` and has no `..`",
    ),
]
"""A path inside the template; no colon, since passwd(5) separates fields with it."""

Line = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]*\Z",
        title="one line of text",
        description="write it on one line",
    ),
]
"""Text without control characters."""

Reason = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z",
        title="a reason",
        description="one line of text, for whoever reads the recipe",
    ),
]
"""Text that says something."""

TimeSpan = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[1-9][0-9]{0,5}[smh]\Z",
        title="a span of time",
        description="a number and `s`, `m` or `h`, such as `90s` or `5m`",
    ),
]
"""A span of time that is no longer than anybody waits."""

Gecos = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^:\x00-\x1f\x7f]*\Z",
        title="an account's full name",
        description="one line without a colon",
    ),
]
"""passwd(5): the comment field."""


Sha256 = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9a-f]{64}\Z",
        title="a sha256",
        description="64 hex digits in lower case, as sha256sum prints",
    ),
]
"""The hash of a file's bytes."""

Url = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^https?://[^\s/]+/\S+\Z",
        title="a URL",
        description="of a file, with http or https",
    ),
]
"""Where a file can be downloaded."""

ArchiveUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^https?://[^\s/]+(/\S*)?\Z",
        title="an address of an archive",
        description="`http://…` or `https://…`, of the folder that the archive's paths begin at",
    ),
]
"""Where an archive of packages can be fetched from."""

RepositoryName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z",
        title="a repository's name",
        description="lower case letters, digits and dashes, at most 63",
    ),
]
"""It becomes the name of files that apt (sources.list(5)) and dnf read."""

ArchiveSuite = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!.*\.\./)([A-Za-z0-9.][A-Za-z0-9.+~_/-]*|/)\Z",
        title="a suite of an archive",
        description="such as `bookworm`, or with a slash at its end the folder of a flat archive",
    ),
]
"""sources.list(5): a name below `dists/`, or an exact path."""

ComponentName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+~_/-]*\Z",
        title="an archive component",
        description="such as `main`",
    ),
]
"""A component of an archive that is not the distribution's own."""

Fingerprint = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^ *([0-9A-Fa-f] *){40}\Z",
        title="a key's fingerprint",
        description="40 hex digits, as `gpg --show-keys` prints them",
    ),
]
"""Of a primary OpenPGP key of version 4."""

ParameterName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_]*\Z",
        title="a parameter name",
        description="lower case letters, digits and `_`, a letter first",
    ),
]

FileMode = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-7]{4}\Z",
        title="file permissions",
        description='four octal digits, such as "0755"',
    ),
]

SecretName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,62}\Z",
        title="a secret's name",
        description="lower case letters, digits, `-` and `_`, a letter first",
    ),
]
