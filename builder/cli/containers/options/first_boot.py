"""Options for what a container is given before it first starts."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.model.errors import RecipeError

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator
    from builder.model.first_boot import Account, File, FirstBoot

NAMES = (
    "first_boot", "root_password_hash", "root_password_file", "ssh_key", "add_user", "timezone",
    "locale", "file",
)  # fmt: skip
_LONGEST = 1000
"""Characters of a hash that are read; the rest would make it none."""
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "--first-boot",
            metavar="FILE",
            help="Take first-boot data from a TOML file; options win over it.",
        ),
        click.option("--root-password-hash", hidden=True),
        click.option(
            "--root-password-file",
            metavar="FILE",
            help="Set root's password, whose hash is in FILE; `-` is stdin.",
        ),
        click.option(
            "--ssh-key",
            multiple=True,
            metavar="[USER:]FILE",
            help="Let the owner of a public key log in, as root unless it says otherwise.",
        ),
        click.option(
            "--add-user",
            multiple=True,
            metavar="NAME[:GROUP...][,KEY=VALUE...]",
            help="Make a user; KEY is uid, shell, ssh-key or password-file.",
        ),
        click.option("--timezone", metavar="ZONE", help="Set the time zone."),
        click.option("--locale", metavar="LOCALE", help="Set the default locale."),
        click.option(
            "--file",
            multiple=True,
            metavar="SOURCE:PATH[:MODE]",
            help="Put a file of the host into the container.",
        ),
    )


def data_of(given: Mapping[str, object]) -> "FirstBoot | None":
    """Gather first-boot data from a file and from options, which win; None where there is none."""
    if not any(given.get(name) for name in (*NAMES, "hostname")):
        return None
    import msgspec

    from builder.model.first_boot import FirstBoot, check_hash
    from builder.recipes.first_boot import read

    named = given.get("first_boot")
    data = read(Path(str(named))) if named else FirstBoot()
    changes = {name: given[name] for name in ("timezone", "locale", "hostname") if given.get(name)}
    root, keys = data.root, _words(given, "ssh_key")
    if (hashed := _hash(given)) is not None:
        root = msgspec.structs.replace(root, password_hash=check_hash(hashed))
    users = {user.name: user for user in (*data.user, *map(_user, _words(given, "add_user")))}
    for word in keys:
        name, file = _owner_of(word)
        found = tuple(_keys(file))
        if name == "root":
            root = msgspec.structs.replace(root, ssh_keys=(*root.ssh_keys, *found))
        elif name in users:
            more = (*users[name].ssh_keys, *found)
            users[name] = msgspec.structs.replace(users[name], ssh_keys=more)
        else:
            users[name] = _account(name=name, ssh_keys=found)
    files = (*data.file, *map(_file, _words(given, "file")))
    everything = {"root": root, "user": tuple(users.values()), "file": files, **changes}
    return _valid(msgspec.structs.replace(data, **everything))


def refuse(given: Mapping[str, object]) -> None:
    """Refuse all of these for a container that is one command and never boots."""
    for name in NAMES:
        if given.get(name):
            raise RecipeError(
                f"`--{name.replace('_', '-')}` is for containers that boot",
                hint="leave out the command, or the option",
            )


def _words(given: Mapping[str, object], name: str) -> tuple[str, ...]:
    words = given.get(name) or ()
    assert isinstance(words, tuple)  # as click gives what may come several times
    return words


def _hash(given: Mapping[str, object]) -> str | None:
    if given.get("root_password_hash"):
        raise RecipeError(
            "`--root-password-hash` is not taken: every user of this host would see it in `ps`",
            hint="`--root-password-file FILE`, or `-` for standard input",
        )
    file = given.get("root_password_file")
    return _secret(Path(str(file))) if file else None


def _secret(file: Path) -> str:
    return (sys.stdin.read(_LONGEST) if str(file) == "-" else _text(file)).strip()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise RecipeError(f"cannot read `{file}`: {reason}") from None


def _keys(file: Path) -> list[str]:
    """Read the public keys of a file, such as `id_ed25519.pub` or `authorized_keys`."""
    from builder.model.errors import Span
    from builder.model.first_boot import check_key

    found = []
    for number, line in enumerate(_text(file).splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            try:
                found.append(check_key(line.strip()))
            except RecipeError as error:
                error.at = Span(file, number)
                raise
    if not found:
        raise RecipeError("there is no public key in this file", at=file)
    return found


def _owner_of(word: str) -> tuple[str, Path]:
    name, sign, rest = word.partition(":")
    if sign and _ACCOUNT.fullmatch(name) and not Path(word).exists():
        return name, Path(rest)
    return "root", Path(word)


def _user(word: str) -> "Account":
    """Read `NAME[:GROUP...][,KEY=VALUE...]`."""
    from builder.model.first_boot import check_hash

    first, *pairs = word.split(",")
    name, *groups = first.split(":")
    keys: tuple[str, ...] = ()
    more: dict[str, object] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key == "ssh-key":
            keys += tuple(_keys(Path(value)))
        elif key == "password-file":
            more["password_hash"] = check_hash(_secret(Path(value)))
        elif key == "uid" and value.isdecimal():
            more["uid"] = int(value)
        elif key == "shell":
            more["shell"] = value
        else:
            raise RecipeError(
                f"`{pair}` does not describe a user",
                hint="write `NAME:GROUP,uid=1000,shell=/bin/sh,ssh-key=FILE,password-file=FILE`",
            )
    return _account(name=name, groups=tuple(groups), ssh_keys=keys, **more)


def _account(**fields: object) -> "Account":
    import msgspec

    from builder.model.first_boot import Account

    plain = {key.replace("_", "-"): value for key, value in fields.items()}
    try:
        return msgspec.convert(plain, Account)
    except msgspec.ValidationError:
        raise RecipeError(
            f"`{fields['name']}` or what follows does not describe a user",
            hint="names have lower case letters, digits, `_` and `-`; ids are 1 to 59999",
        ) from None


def _file(word: str) -> "File":
    from builder.recipes.first_boot import file_of

    source, *rest = word.split(":")
    path, mode = (rest[0] if rest else ""), (rest[1] if len(rest) == 2 else "0644")
    if not path.startswith("/") or len(rest) > 2:
        raise RecipeError(f"`{word}` does not name a file", hint="write `SOURCE:/PATH:0600`")
    return file_of(Path(source), path, mode.rjust(4, "0"))


def _valid(data: "FirstBoot") -> "FirstBoot":
    """Hold what came by option to the same rules as what comes from a file."""
    import msgspec

    from builder.model.first_boot import FirstBoot

    try:
        return msgspec.convert(msgspec.to_builtins(data), FirstBoot)
    except msgspec.ValidationError as error:
        where = str(error).rpartition("`$.")[2].rstrip("`")
        raise RecipeError(
            f"`{where or 'first-boot data'}` has a value that is not allowed"
        ) from None
