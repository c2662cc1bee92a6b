"""Volumes of recipes: where they can be, whose they are, and how layers join."""

from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.errors import RecipeError
from builder.model.volume import VolumeSpec
from builder.recipes.interface import interface_of
from builder.recipes.load import load_file
from tests.support.recipes import BASE, HEAD, write

DATA = '[[volume]]\nname = "data"\n'
PLACED = f'{DATA}path = "/var/lib/a"\n'


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (DATA, "`path` is missing", 6),
        (f'{DATA}path = "var/lib"\n', "`var/lib` is not an absolute path", 8),
        (f'{DATA}path = "/var/../etc"\n', "`/var/../etc` is not an absolute path", 8),
        (f'{DATA}path = "/"\n', "no volume can be at `/`: it is to be written plainly", 8),
        (f'{DATA}path = "/var//lib"\n', "no volume can be at `/var//lib`", 8),
        (f'{DATA}path = "/var/./lib"\n', "no volume can be at `/var/./lib`", 8),
        (f'{DATA}path = "/proc/x"\n', "no volume can be at `/proc/x`: `/proc` is the system's", 8),
        (f'{DATA}path = "/run"\n', "`/run` is the system's", 8),
        (f'{DATA}path = "/etc/a/"\n', "`/etc` is the system's", 8),
        (f'{DATA}path = "/usr/share/a"\n', "`/usr` is the system's", 8),
        (f'{DATA}path = "/lib/a"\n', "`/lib` is the system's", 8),
        (f'{PLACED}mode = "755"\n', "`755` is not file permissions", 9),
        (f'{PLACED}owner = "No"\n', "`No` is not an account name", 9),
        (f"{PLACED}uid = 0\n", "`uid` must be at least 1", 9),
        (f"{PLACED}uid = 7\n", "`root` has the number 0 everywhere", 9),
        (f"{PLACED}schema = 0\n", "`schema` must be at least 1", 9),
        (f"{PLACED}scheme = 2\n", "did you mean `schema`?", 9),
        ('[[volume]]\nname = "a.b"\npath = "/srv"\n', "`a.b` is not a volume's name", 7),
        (f'{PLACED}{DATA}path = "/srv"\n', "there are two volumes `data`", 10),
        (f'{PLACED}[[volume]]\nname = "b"\npath = "/var/lib/a/b"\n', "lies over `data`", 11),
        (f'{PLACED}[[volume]]\nname = "b"\npath = "/var/lib/"\n', "which is at `/var/lib/a`", 11),
        (
            f'{PLACED}owner = "app"\nuid = 900\n[[user]]\nname = "app"\n',
            "`app` is made by `[[user]]`, which is where its number belongs",
            10,
        ),
    ],
)
def test_a_mistake_is_shown_where_it_stands(
    tmp_path: Path, text: str, said: str, line: int
) -> None:
    path = write(tmp_path, "one", HEAD.format(name="one") + BASE + text)
    with pytest.raises(RecipeError) as caught:
        load_file(path)
    assert said in render(caught.value)
    assert caught.value.at is not None
    assert caught.value.at.line == line


def test_neighbours_are_no_overlap(tmp_path: Path) -> None:
    more = '[[volume]]\nname = "b"\npath = "/var/lib/ab"\n'
    path = write(tmp_path, "one", HEAD.format(name="one") + BASE + PLACED + more)
    assert [one.place for one in interface_of(load_file(path)).volumes] == [
        "/var/lib/a",
        "/var/lib/ab",
    ]


def test_of_layers_the_higher_one_counts(tmp_path: Path) -> None:
    write(tmp_path, "lower", HEAD.format(name="lower") + BASE + PLACED)
    higher = 'from = "lower"\n' + HEAD.format(name="higher")
    path = write(tmp_path, "higher", f'{higher}{DATA}path = "/srv/a/"\nowner = "app"\nschema = 3\n')
    (volume,) = interface_of(load_file(path)).volumes
    assert volume == VolumeSpec(name="data", path="/srv/a/", owner="app", schema=3)
    assert (volume.place, volume.backup, volume.pinned_gid) == ("/srv/a", True, None)
    path = write(tmp_path, "other", f'{higher}[[volume]]\nname = "b"\npath = "/var/lib/a/b"\n')
    with pytest.raises(RecipeError, match="lies over `data`"):
        load_file(path)


@pytest.mark.parametrize(
    ("group", "uid", "gid", "pinned"),
    [(None, 7, None, 7), ("app", 7, None, 7), ("www", 7, None, None), ("www", None, 8, 8)],
)
def test_a_group_of_the_owner_s_name_has_its_number(
    group: str | None, uid: int | None, gid: int | None, pinned: int | None
) -> None:
    volume = VolumeSpec(name="a", path="/a", owner="app", group=group, uid=uid, gid=gid)
    assert volume.pinned_gid == pinned
