"""Answers: who gives a value, which counts, and what is said of one that is wrong."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.appliance import answers, settled
from builder.appliance.answers import Origin
from builder.cli.terminal.report import render
from builder.host.process.bounded import Bounds
from builder.model.errors import HostError, RecipeError
from builder.model.instance import Answers
from builder.model.interface import Interface
from builder.model.toml.source import Source

INTERFACE = msgspec.convert(
    {
        "parameters": {
            "domain": {"format": "hostname", "title": "Where it is found"},
            "port": {"default": 80, "minimum": 1, "maximum": 65535},
            "mode": {"default": "off", "enum": ["off", "on"]},
            "tls": {"default": False},
            "certificate": {"when": "parameters.tls"},
            "password": {"secret": True, "pattern": "^[a-z]{8,}$", "generate": "password"},
            "sites": {
                "type": "array",
                "default": [],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string", "minLength": 2},
                        "kind": {"enum": ["php"]},
                    },
                },
            },
        },
        "asserts": [
            {
                "that": "not parameters.tls or parameters.port != 80",
                "message": "TLS is not for port 80",
            }
        ],
    },
    Interface,
)


def settle(text: str = "", *options: str, **environment: str) -> Answers:
    source = Source(Path("answers.toml"), text)
    stack = answers.gather(
        INTERFACE, options=options, files=[source] if text else [], environment=environment
    )
    return settled.settle(INTERFACE, answers.chosen(stack))


def refused(text: str = "", *options: str, **environment: str) -> str:
    with pytest.raises(RecipeError) as caught:
        settle(text, *options, **environment)
    return render(caught.value)


def test_without_answers_the_defaults_hold_and_what_is_required_is_missing() -> None:
    made = settle()
    assert made.values == {"port": 80, "mode": "off", "tls": False, "sites": []}
    assert made.given == {}
    assert made.missing == ("domain",)


def test_who_counts() -> None:
    stack = answers.gather(
        INTERFACE,
        options=["port=1", "port=2"],
        files=[Source(Path("a"), "port = 3"), Source(Path("b"), "port = 4\ntls = true")],
        environment={"OVEN_ANSWER_PORT": "5", "OVEN_ANSWER_MODE": "on"},
        kept={"port": 6, "domain": "example.org"},
    )
    assert [one.value for one in stack["port"]] == [2, 1, 4, 3, 5, 6, 80]
    chosen = answers.chosen(stack)
    assert {name: one.origin for name, one in chosen.items()} == {
        "domain": Origin.KEPT,
        "port": Origin.OPTION,
        "mode": Origin.ENVIRONMENT,
        "tls": Origin.FILE,
        "sites": Origin.DEFAULT,
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("domain=true", "true"),
        ("domain=3", "3"),
        ("domain=a=b", "a=b"),
        ("port=443", 443),
        ("tls=true", True),
        ('sites=[{name="ab"}]', [{"name": "ab"}]),
        ("sites=[\n]", []),
    ],
)
def test_a_shell_passes_any_kind_of_value(option: str, value: object) -> None:
    name = option.partition("=")[0]
    chosen = answers.chosen(answers.gather(INTERFACE, options=[option]))
    assert chosen[name].value == value


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("port", "`--set port` gives no value"),
        ("prot=3", "did you mean `port`?"),
        ("zzz=3", "its parameters are: `domain`, `port`"),
        ("port=many", "--set port=many: `port` must be of type integer, and this is `many`"),
        ("port=1\n2", "must be of type integer"),
        ("port=70000", "`port` must be at most 65535, and this is `70000`"),
        ("domain=-x-", "`domain` must be a host name, and this is `-x-`"),
        ("mode=maybe", "`mode` must be one of `off`, `on`, and this is `maybe`"),
        ("sites=[{}]", "`sites[0]`"),
        ('sites=[{name="a"}]', "`sites[0].name` must have at least 2 characters, and this is `a`"),
        ('sites=[{name="ab", nmae=1}]', "'nmae' was unexpected"),
        ("tls=true", "TLS is not for port 80"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_is_allowed(option: str, said: str) -> None:
    assert said in refused('domain = "a.example"\ncertificate = "c"\n', option)


def test_a_mistake_in_a_file_is_shown_where_it_stands() -> None:
    said = refused('port = 8080\n[[sites]]\nname = "ab"\nkind = "perl"\n')
    assert "`sites[0].kind` must be one of `php`" in said
    assert "answers.toml:4:8" in said
    assert '4 | kind = "perl"' in said


def test_an_unknown_key_of_a_file_is_shown() -> None:
    said = refused("prot = 8080\n")
    assert "answers.toml:1:1" in said
    assert "did you mean `port`?" in said


def test_the_environment_is_named() -> None:
    assert "OVEN_ANSWER_PORT=x: `port` must be" in refused(OVEN_ANSWER_PORT="x")


@pytest.mark.parametrize(
    "given", [('password = "Hunter2"\n', ()), ("", ("password=Hunter2",)), ("password = 7\n", ())]
)
def test_a_secret_is_never_shown(given: tuple[str, tuple[str, ...]]) -> None:
    said = refused(given[0], *given[1])
    assert "Hunter2" not in said
    assert "7" not in said.replace("{8,}", "").replace("`^[a-z]", "")
    assert "`password` must" in said


def test_what_depends_is_missing_only_when_it_is_asked() -> None:
    assert settle("tls = true\nport = 443\n").missing == ("domain", "certificate")
    assert settle('tls = false\ndomain = "example.org"\n').missing == ()


def test_what_must_hold_waits_for_what_is_missing() -> None:
    given = {
        "parameters": {"a": {"type": "integer"}},
        "asserts": [{"that": "parameters.a > 3", "message": "too small"}],
    }
    interface = msgspec.convert(given, Interface)
    assert settled.settle(interface, {}).missing == ("a",)
    with pytest.raises(RecipeError, match="too small"):
        settled.settle(interface, answers.chosen(answers.gather(interface, options=["a=3"])))


def test_a_date_is_no_answer() -> None:
    said = refused("port = 80\ndomain = 2026-01-01\n")
    assert "answers.toml:2:10" in said
    assert 'write "2026-01-01"' in said
    assert "`sites` has a date" in refused("sites = [[2026-01-01]]\n")
    assert "`sites` has a date" in refused("", "sites=[[2026-01-01]]")


@pytest.mark.parametrize(
    "parameter",
    [
        {"pattern": "(" * 1000},
        {"type": "array", "items": {"$ref": "http://127.0.0.1/x.json"}},
        {"type": "array", "items": {"type": "strin"}},
        {"type": "array", "items": {"$ref": "#/properties/a"}, "default": [[]]},
    ],
)
def test_a_hostile_schema_is_the_templates_fault(parameter: dict[str, Any]) -> None:
    interface = msgspec.convert({"parameters": {"a": parameter}}, Interface)
    chosen = answers.chosen(answers.gather(interface))
    if "default" in parameter:
        settled.settle(interface, chosen)  # it points into itself, and has an end
        return
    with pytest.raises(HostError, match="interface of this template"):
        settled.settle(interface, chosen)


@pytest.mark.parametrize(
    "condition",
    [
        "parameters.nothing",
        "parameters.__class__.__mro__",
        "(",
        "range(10**9) | list",
        "9 ** (9 ** 9)",
        "cycler.__init__.__globals__",
    ],
)
def test_a_hostile_condition_is_the_templates_fault(
    condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.appliance.expressions.BOUNDS", Bounds(1, 512 << 20))
    given = {"parameters": {"a": {"default": 1}}, "asserts": [{"that": condition, "message": "m"}]}
    interface = msgspec.convert(given, Interface)
    with pytest.raises(HostError, match="condition"):
        settled.settle(interface, answers.chosen(answers.gather(interface)))
