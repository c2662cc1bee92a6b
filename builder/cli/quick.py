"""The quick way in: what scripts call in loops is read without the library for command lines.

`oven exec NAME -- CMD`, `oven run TEMPLATE -- CMD` and `oven create NAME TEMPLATE` take a third
less time so. Whatever is not understood at once, mistakes and `--help` included, goes the usual
way, and the same functions do the work in both. A test holds that both read the same.
"""

from collections.abc import Callable, Mapping, Sequence

# Option to the parameter that it sets; a name that ends in `+` may come several times, one that
# ends in `!` takes no value.
_SHARED = {
    "-t": "tty!", "--tty": "tty!", "-u": "user", "--user": "user", "-w": "workdir",
    "--workdir": "workdir", "-e": "env+", "--env": "env+",
}  # fmt: skip
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "exec": _SHARED,
    "run": {**_SHARED, "--rm": "remove!", "--network": "networks+"},
    "create": {"--network": "networks+", "-p": "publish+", "--publish": "publish+"},
}


def work_of(argv: Sequence[str]) -> Callable[[], int | None] | None:
    """Give what a command line asks for; None for one that is not for here."""
    if len(argv) < 3 or argv[0] not in OPTIONS:
        return None
    if argv[0] == "create":
        return _creation(argv[1:])
    read = parse(OPTIONS[argv[0]], argv[1:])
    if read is None:
        return None
    subject, command, given = read
    from builder.cli.containers import commands

    work = commands.exec_one if argv[0] == "exec" else commands.run_one
    return lambda: work(subject, command, given)


def parse(
    options: Mapping[str, str], words: Sequence[str]
) -> tuple[str, tuple[str, ...], dict[str, object]] | None:
    """Read the words after a verb: one word, options around it, `--`, and a command."""
    if "--" not in words:
        return None
    end = list(words).index("--")
    command, read = tuple(words[end + 1 :]), separate(options, words[:end])
    if read is None or len(read[0]) != 1 or not command:
        return None
    return read[0][0], command, read[1]


def separate(
    options: Mapping[str, str], words: Sequence[str]
) -> tuple[list[str], dict[str, object]] | None:
    """Tell plain words from options and their values."""
    left, subjects, given = list(words), list[str](), dict[str, object]()
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            subjects.append(word)
            continue
        name = options.get(word)
        if name is None or (name[-1] != "!" and not left):
            return None
        if name[-1] == "!":
            given[name[:-1]] = True
        elif name[-1] == "+":
            before = given.get(name[:-1], ())
            assert isinstance(before, tuple)  # as the line below made it
            given[name[:-1]] = (*before, left.pop(0))
        else:
            given[name] = left.pop(0)
    return subjects, given


def _creation(words: Sequence[str]) -> Callable[[], None] | None:
    read = separate(OPTIONS["create"], words)
    if read is None or len(read[0]) != 2:
        return None
    (name, template), given = read
    from builder.cli.containers import commands

    return lambda: commands.create_quickly(name, template, given)
