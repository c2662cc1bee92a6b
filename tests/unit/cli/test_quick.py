"""The quick way in reads what it reads as the usual one does, and leaves everything else to it."""

import click
import pytest

from builder.cli.app import oven
from builder.cli.quick import OPTIONS, parse, separate, work_of


def command(verb: str) -> click.Command:
    found = oven.get_command(click.Context(oven), verb)
    assert found is not None
    return found


@pytest.mark.parametrize("verb", OPTIONS)
def test_it_knows_options_for_what_they_are(verb: str) -> None:
    known = {
        word: param
        for param in command(verb).params
        if isinstance(param, click.Option)
        for word in param.opts
    }
    for word, name in OPTIONS[verb].items():
        param = known[word]
        assert param.name == name.rstrip("!+")
        assert param.is_flag == name.endswith("!")
        assert param.multiple == name.endswith("+")


LINES = (
    "exec web -- true",
    "exec web -- sh -c --",
    "exec -u ann -w /srv web -e A=1 --env B=-2 -- env -u X",
    "exec --tty web -- -x",
    "run debian -- ls -l --",
    "run --rm --network none -u 1:2 debian -- id",
)


@pytest.mark.parametrize("line", LINES)
def test_both_ways_read_the_same(line: str) -> None:
    verb, *words = line.split()
    read = parse(OPTIONS[verb], words)
    assert read is not None
    subject, argv, given = read
    usual = command(verb).make_context(verb, list(words)).params
    assert argv == usual["command"]
    assert subject == usual["name" if verb == "exec" else "template"]
    assert given == {name: usual[name] for name in given}
    defaults = {"user": "root", "workdir": "/", "env": (), "tty": False, "remove": False}
    for name, value in defaults.items():
        if name in usual and name not in given:
            assert usual[name] == value


@pytest.mark.parametrize(
    "line",
    ["create web debian", "create --network none web -p 80:80 --publish 81:81 debian"],
)
def test_both_ways_read_the_same_of_a_container_to_make(line: str) -> None:
    verb, *words = line.split()
    read = separate(OPTIONS[verb], words)
    assert read is not None
    usual = command(verb).make_context(verb, list(words)).params
    assert read[0] == [usual["name"], usual["template"]]
    assert read[1] == {name: usual[name] for name in read[1]}
    assert work_of(line.split()) is not None


@pytest.mark.parametrize(
    "line",
    [
        "create web", "create web debian other", "create --memory 1G web debian", "create -p",
        "", "exec", "exec web true", "exec --help web -- true", "exec web --", "exec -- true",
        "exec web -u -- true", "exec web other -- true", "exec -ti web -- true",
        "exec --user=ann web -- true", "run --memory 1G debian -- true", "run -v debian -- true",
        "run debian", "list -- -- --", "exec --no-such web -- true",
    ],
)  # fmt: skip
def test_the_rest_is_not_for_it(line: str) -> None:
    assert work_of(line.split()) is None
