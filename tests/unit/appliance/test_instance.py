"""Instance files: read from a template that anybody may have made, and rendered."""

import os
from pathlib import Path

import msgspec
import pytest

from builder.appliance import instance
from builder.appliance.variables import InstanceVariables
from builder.host.process.bounded import Bounds
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError, RecipeError
from builder.model.instance import Answers, Instance, InstanceFile
from builder.model.interface import Interface

VARIABLES = InstanceVariables(
    parameters={"title": "Hello", "sites": [{"name": "a"}, {"name": "b"}], "none": None},
    template={"name": "web", "summary": ""},
    base={"distro": "debian", "suite": "bookworm", "arch": "amd64"},
    secrets={"db": "s3cret"},
    instance={"name": "web-1", "hostname": "web.example"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / instance.FOLDER
    folder.mkdir(parents=True)
    return folder


def files(folder: Path, interface: Interface | None = None) -> dict[str, InstanceFile]:
    with TreeIO(folder.parents[3]) as tree:
        made = instance.files(instance.read(tree), VARIABLES, interface or Interface())
    return {one.path: one for one in made}


def test_a_template_without_any(tmp_path: Path) -> None:
    with TreeIO(tmp_path) as tree:
        assert instance.read(tree) == {}


def test_templates_see_answers_secrets_and_the_instance(folder: Path) -> None:
    (folder / "etc").mkdir()
    text = "{{ parameters.title }} {{ secrets.db }} {{ instance.hostname }}"
    text += "{% for site in parameters.sites %} {{ site.name }}{% endfor %}\n"
    (folder / "etc/a.j2").write_text(text)
    (folder / "etc/plain").write_bytes(b"{{ \xff")
    (folder / "etc/plain").chmod(0o755)
    found = files(folder)
    assert found["etc/a"].content == b"Hello s3cret web.example a b\n"
    assert found["etc/plain"].content == b"{{ \xff"
    assert found["etc/plain"].mode == 0o755


def test_what_comes_to_nothing_is_no_file(folder: Path) -> None:
    (folder / "a.j2").write_text("{% if parameters.none %}x{% endif %}\n")
    (folder / "b").write_text("")
    assert list(files(folder)) == ["b"]


def test_rights_are_those_that_the_appliance_says(folder: Path) -> None:
    (folder / "a.j2").write_text("x")
    given = {"files": [{"path": "/a", "group": "www-data", "mode": "0640"}]}
    made = files(folder, msgspec.convert(given, Interface))["a"]
    assert (made.owner, made.group, made.mode, made.own_mode) == (None, "www-data", 0o640, True)


def test_a_mistake_names_the_file_and_the_line(folder: Path) -> None:
    (folder / "a.j2").write_text("x\n{{ secrets.dbs }}\n")
    with pytest.raises(RecipeError, match="`dbs` is not defined") as caught:
        files(folder)
    assert caught.value.at is not None
    assert (caught.value.at.path, caught.value.at.line) == (Path("instance/a.j2"), 2)
    assert caught.value.hint == "did you mean `secrets.db`?"


@pytest.mark.parametrize("kind", ["link", "up", "fifo", "device"])
def test_only_plain_files_are_taken(folder: Path, kind: str) -> None:
    if kind == "device":
        os.mknod(folder / "x", 0o600 | 0o020000, os.makedev(1, 3))
    elif kind == "fifo":
        os.mkfifo(folder / "x")
    else:
        (folder / "x").symlink_to("/etc/shadow" if kind == "link" else "../../../../..")
    with pytest.raises(HostError, match="`/usr/share/oven/instance/x` is no plain file"):
        files(folder)


def test_a_folder_that_is_a_link_is_none(tmp_path: Path) -> None:
    (tmp_path / "usr/share/oven").mkdir(parents=True)
    (tmp_path / instance.FOLDER).symlink_to("/etc")
    with TreeIO(tmp_path) as tree:
        assert instance.read(tree) == {}


def test_there_are_bounds(folder: Path) -> None:
    for number in range(20):
        with (folder / f"{number}").open("wb") as file:
            file.truncate(1 << 20)
    with pytest.raises(HostError, match="larger than 16 MiB"):
        files(folder)


LOOPS = "{% for a in 'x' * 100000 %}{% for b in 'x' * 100000 %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("text", ["{{ 'x' * 100_000_000 }}", LOOPS])
def test_a_template_that_grows_is_refused(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.appliance.rendering.BOUNDS", Bounds(seconds=1, memory=512 << 20))
    (folder / "a.j2").write_text(text)
    with pytest.raises((HostError, RecipeError), match="more than"):
        files(folder)


@pytest.mark.parametrize("name", ["../x", "/x", "", "a/b", "A", "."])
def test_the_name_of_a_secret_in_a_strangers_file_is_no_path(name: str) -> None:
    """It becomes that of a file on the host."""
    given = {"answers": {"values": {}, "given": {}}, "secrets": {name: "x"}}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(given), type=Instance)


def test_files_that_are_left_out_are_made_anew_or_removed() -> None:
    one = InstanceFile(path="etc/a", content=b"x", mode=0o644)
    told = Instance(answers=Answers(values={}, given={}), files=(one,), template="t", gone=("b",))
    assert told.without_files().gone == ("b", "etc/a")
    assert told.without_files().with_files((one,)).gone == ("b",)
