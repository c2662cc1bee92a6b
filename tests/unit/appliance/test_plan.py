"""Plans: which files change, what of that is shown, and which units hear of it."""

import msgspec

from builder.appliance.plan import MASK, between
from builder.model.instance import Answers, Instance, InstanceFile
from builder.model.interface import Interface, Json

INTERFACE = msgspec.convert(
    {
        "parameters": {
            "title": {"default": "x", "affects": [{"unit": "nginx.service"}]},
            "port": {"default": 80, "affects": [{"unit": "nginx.service", "action": "restart"}]},
            "mode": {"default": "a", "affects": [{"unit": "php.service"}]},
            "quiet": {"default": ""},
            "token": {"secret": True},
        },
        "secrets": {"db": {"kind": "password", "affects": [{"unit": "db.service"}]}},
        "services": {"php.service": {"apply": "restart"}},
    },
    Interface,
)


def instance(
    files: dict[str, str | bytes] | None = None, secret: str = "s3cret-one", **values: Json
) -> Instance:
    return Instance(
        answers=Answers(values=values, given=values),
        secrets={"db": secret},
        files=tuple(
            InstanceFile(path=path, content=bytes_of(text), mode=0o644)
            for path, text in (files or {}).items()
        ),
    )


def bytes_of(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def test_the_same_again_is_no_change_at_all() -> None:
    one = instance({"etc/a": "text"}, title="x")
    plan = between(one, one, INTERFACE)
    assert plan.empty
    assert plan.units == {}


def test_files_that_come_change_and_go() -> None:
    before = instance({"etc/a": "1\n2\n3\n", "etc/b": "b\n", "etc/same": "s"})
    after = instance({"etc/a": "1\nzwei\n3\n", "etc/c": "c\n", "etc/same": "s"})
    plan = between(before, after, INTERFACE)
    assert [(one.path, one.kind) for one in plan.files] == [
        ("etc/a", "changed"), ("etc/b", "gone"), ("etc/c", "new"),
    ]  # fmt: skip
    assert plan.files[0].difference == (
        "--- /etc/a\n+++ /etc/a\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n"
    )
    assert not plan.empty


def test_units_hear_of_what_affects_them_and_a_restart_is_enough() -> None:
    before = instance(title="x", port=80, mode="a", quiet="")
    assert between(before, instance(title="y", port=80, mode="a", quiet="z"), INTERFACE).units == {
        "nginx.service": "reload"
    }
    assert between(before, instance(title="y", port=81, mode="b", quiet=""), INTERFACE).units == {
        "nginx.service": "restart",
        "php.service": "restart",
    }
    rotated = between(before, instance(None, "another", **before.answers.values), INTERFACE)
    assert rotated.secrets == ("db",)
    assert rotated.units == {"db.service": "reload"}


def test_no_secret_is_shown() -> None:
    before = instance({"etc/a": "db=s3cret-one\ntoken=hunter22\n"}, token="hunter22")
    text = "db=s3cret-two\ntoken=hunter33\nx\n"
    after = instance({"etc/a": text}, "s3cret-two", token="hunter33")
    plan = between(before, after, INTERFACE)
    shown = plan.files[0].difference
    assert MASK in shown
    for secret in ("s3cret", "hunter"):
        assert secret not in shown
    assert shown.endswith("+x\n")


def test_a_key_of_several_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\nabcdefghijkl\n-----END PRIVATE KEY-----\n"
    before = instance({"etc/key": "  MIIEvQIBADAN\n"}, key)
    after = instance({"etc/key": "  MIIEvQIBADAN\n  abcdefghijkl\n"}, key)
    shown = between(before, after, INTERFACE).files[0].difference
    assert "MIIE" not in shown
    assert "abcdef" not in shown


def test_what_is_no_text_and_what_moves_the_cursor() -> None:
    before, after = (
        instance({"a": b"\xff\x00", "b": "x"}),
        instance({"a": b"\xff\x01", "b": "\x1b[2J"}),
    )
    first, second = between(before, after, INTERFACE).files
    assert first.difference == "it is no text\n"
    assert "\x1b" not in second.difference
