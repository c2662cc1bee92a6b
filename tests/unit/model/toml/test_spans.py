"""The place of every key and value of a TOML text is found, however it is written."""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.model.toml.source import source_of
from builder.model.toml.spans import Where, find_spans

# One text for each way of writing things; every key and value in them is looked up below.
TEXTS = {
    "tables": '[a]\nx = 1\n[b]\nx = "two"\n',
    "nested headers": "[a.b.c]\nx = 1\n[a.b]\ny = 2\n[a]\nz = 3\n",
    "dotted keys": "a.b.c = 1\na.b.d = 'x'\n[t]\ne . f = true\n",
    "quoted keys": '"a.b" = 1\n[x."y z"]\n\'k #\' = 2\n"\\u0041" = 3\n"" = 4\n',
    "arrays of tables": "[[u]]\nn = 'a'\n[[u]]\nn = 'b'\n[u.in]\nk = 1\n[[u]]\n[[u.deep]]\nk = 2\n"
    "[[u.deep]]\nk = 3\n",
    "inline tables": "a = { x = 1, y = { z = [1, 2] }, 'q' = \"}\" }\nb = {}\n",
    "multi-line array": "a = [\n  1,\n  # with ] and \"\n  'two', # three\n\n  3,\n]\nb = []\n",
    "nested arrays": "a = [[1, 2], [], [ { k = 'v' }, { k = 'w' } ]]\n",
    "strings": 'a = "q\\"x"\nb = \'it"s\'\nc = """\none "two" \\"""\nthree"""\n'
    "d = '''\n[x]\n'''\n"
    'e = """"quoted"""""\nf = \'\'\'\'q\'\'\'\'\'\ng = ""\nh = \'\'\ni = """"""\nj = "#"\n',
    "string like a header": "a = '''\n[b]\nc = 1\n'''\n[b]\nc = 2\n",
    "numbers and dates": "a=1_000\nb=-0.5e3\nc=1979-05-27 07:32:00Z\nd=07:32:00\ne=inf\nf=0xff\n",
    "odd spacing": "\n\n  # hello\n\t[ a . b ]  # there\n\tx=1#y\n  y  =  [1 ,2 , ]   \n",
    "no final line feed": "a = 1\nb = [1]",
    "carriage returns": "[a]\r\nx = [\r\n 1,\r\n 2]\r\ny = 'z'\r\n",
    "byte order mark": "\ufeffa = 1\nb = 2\n",
    "wide letters": "a = 'äöü漢字'\nb = ['漢', 'é']\n",
    "header after use": "a.b = 1\n[c]\nd.e = { f = 1 }\n[c.g]\nh = 1\n",
}


def leaves(value: object, where: Where = ()) -> Iterator[tuple[Where, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*where, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*where, index))
    else:
        yield where, value


def prefixes(data: object) -> set[Where]:
    return {where[:end] for where, _ in leaves(data) for end in range(1, len(where) + 1)}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_each_value_reads_back_from_its_place(text: str) -> None:
    plain = source_of(text, Path("x")).text
    data = tomllib.loads(plain)
    spans = find_spans(plain)
    found = list(leaves(data))
    assert found
    for where, value in found:
        start, end = spans.values[where]
        assert tomllib.loads(f"v = {plain[start:end]}")["v"] == value, where


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_each_key_reads_back_from_its_place(text: str) -> None:
    plain = source_of(text, Path("x")).text
    spans = find_spans(plain)
    for where in prefixes(tomllib.loads(plain)):
        if isinstance(where[-1], str):
            start, end = spans.keys[where]
            assert list(tomllib.loads(f"{plain[start:end]} = 1")) == [where[-1]]


def spot(text: str, *where: str | int) -> tuple[str, str]:
    """Give the text under the carets for a key and for its value, each with its line number."""
    source = source_of(text, Path("x"))
    shown = []
    for span in (source.key(*where), source.value(*where)):
        assert span.text is not None
        assert span.line is not None
        assert span.text == text.split("\n")[span.line - 1]
        shown.append(f"{span.line}:{span.text[span.column - 1 :][: span.length]}")
    return shown[0], shown[1]


@pytest.mark.parametrize(
    ("text", "where", "key", "value"),
    [
        ('[base]\nsuite = "x"\n', ("base", "suite"), "2:suite", '2:"x"'),
        ("[base]\n", ("base",), "1:base", "1:base"),
        ("[base]\n", ("base", "suite"), "1:base", "1:base"),
        ("[a.b]\nx=1\n", ("a", "y"), "1:a", "1:a"),
        ("[[u]]\n[[u]]\nn=1\n", ("u", 1), "2:u", "2:u"),
        ("[[u]]\n[[u]]\nn=1\n", ("u", 0, "n"), "1:u", "1:u"),
        ("[[u]]\n[[u]]\nn=1\n", ("u",), "1:u", "1:u"),
        ("[[u]]\n[[u]]\n[u.in]\nk=1\n", ("u", 1, "in", "k"), "4:k", "4:1"),
        ("a = [\n 'x',\n 'y' ]\n", ("a", 1), "3:'y'", "3:'y'"),
        ("a = [\n 'x',\n 'y' ]\n", ("a",), "1:a", "1:["),
        ("a = { b = 1 }\n", ("a", "b"), "1:b", "1:1"),
        ("a = { b = 1 }\n", ("a", "c"), "1:a", "1:{ b = 1 }"),
        ("a.b.c = 1\n", ("a", "b"), "1:b", "1:b"),
        ("# nothing\n", ("a",), "1:#", "1:#"),
        ("[p.x]\nd=1\n[p.y]\nd=2\n", ("p", "y", "d"), "4:d", "4:2"),
    ],
)
def test_what_is_underlined(text: str, where: Where, key: str, value: str) -> None:
    assert spot(text, *where) == (key, value)


def test_an_empty_text_has_a_first_line() -> None:
    source = source_of("", Path("x"))
    span = source.key("a")
    assert (span.line, span.column, span.length, span.text) == (1, 1, 1, "")


def test_every_cut_of_a_text_ends_quietly() -> None:
    """What tomllib refuses is never looked at, but a scanner that hangs or raises is a trap."""
    for text in TEXTS.values():
        for end in range(len(text)):
            find_spans(text[:end])


class Writer:
    """Writes random TOML in random styles; the parser says what it means."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def document(self) -> str:
        lines = [self.pair(name) for name in self.names()]
        for table in self.names():
            if self.random.random() < 0.5:
                for _ in range(self.random.randint(1, 3)):
                    lines += [f"[[ {self.key(table + 't')} ]]", *map(self.pair, self.names())]
            else:
                inner = self.key("in" + table)
                lines += [f"[{self.key(table + 's')}.{inner}] # {table}"]
                lines += map(self.pair, self.names())
        return self.random.choice(["\n", "\n\n", "\n\t# it = 'x' [\n"]).join(lines)

    def names(self) -> list[str]:
        return self.random.sample(["a", "b-b", "c_1", "dé", 'e"', "f.f", "g #", "7"], 3)

    def key(self, name: str) -> str:
        if name.isascii() and name.replace("-", "").replace("_", "").isalnum():
            return self.random.choice([name, f'"{name}"', f"'{name}'"])
        return f"'{name}'"

    def pair(self, name: str) -> str:
        dotted = self.key(name) + self.random.choice(["", ".x", " . 'y z'"])
        return f"{dotted}{self.random.choice(['=', ' = '])}{self.value(2)}"

    def value(self, depth: int) -> str:
        plain = [
            "1",
            "-2.5e3",
            "true",
            "'#]'",
            '"\\"},"',
            '"""a\n["b"]\n"""',
            "'''\n= '' '''",
            "'漢'",
        ]
        kind = self.random.randint(0, 5 if depth else 3)
        if kind < 4:
            return self.random.choice(plain)
        items = [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
        if kind == 4:
            return "[" + self.random.choice([", ", ",\n  ", " , # ]\n"]).join(items) + "]"
        pairs = [f"{self.key(n)} = {v}" for n, v in zip(self.names(), items, strict=False)]
        return "{ " + ", ".join(pairs) + " }"


@pytest.mark.parametrize("seed", range(100))
def test_random_texts_read_back_from_their_places(seed: int) -> None:
    text = Writer(seed).document()
    spans = find_spans(text)
    for where, value in leaves(tomllib.loads(text)):
        start, end = spans.values[where]
        assert tomllib.loads(f"v = {text[start:end]}")["v"] == value, (where, text)
