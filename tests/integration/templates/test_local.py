"""Local templates: found by name or digest, shared, swept when nobody needs them."""

import json
import threading
from pathlib import Path

import pytest

from builder.host.trees.durable import locked
from builder.model.errors import (
    ConflictError,
    NotFoundError,
    RecipeError,
)
from builder.model.value import Digest, digest_of
from builder.templates.local import Template, Templates
from tests.support.trees.odd_trees import manifest

ONE, TWO = digest_of("one"), digest_of("two")


def add(templates: Templates, name: str, digest: Digest) -> Template:
    with templates.draft() as draft:
        (draft / "rootfs/etc").mkdir(parents=True)
        return templates.add(draft, manifest(name), digest, name)


def use(tmp_path: Path, container: str, digest: Digest) -> None:
    folder = tmp_path / "data/containers" / container
    folder.mkdir(parents=True)
    (folder / "container.json").write_text(json.dumps({"template": digest, "name": container}))


def test_a_template_is_found_by_name_and_by_digest(templates: Templates) -> None:
    added = add(templates, "debian", ONE)
    assert added.names == ("debian",)
    assert added.rootfs.is_dir()
    for wanted in ("debian", ONE, ONE.removeprefix("sha256:")[:12], ONE[:15]):
        assert templates.find(wanted) == added
    assert templates.every() == [added]


def test_nearest_names_are_offered(templates: Templates) -> None:
    add(templates, "debian-bookworm", ONE)
    with pytest.raises(NotFoundError, match="no template `debian-bokworm`") as caught:
        templates.find("debian-bokworm")
    assert caught.value.hint == "did you mean `debian-bookworm`?"


@pytest.mark.parametrize("wanted", ["x", "", "../names", "/etc", "0000000", "sha256:", "a\0b", "é"])
def test_what_is_not_there_is_told(templates: Templates, wanted: str) -> None:
    for _ in range(2):  # first without any template at all
        with pytest.raises(NotFoundError):
            templates.find(wanted)
        add(templates, "debian", ONE)


def test_too_few_digits_are_a_conflict(templates: Templates) -> None:
    first, second = Digest("sha256:" + "abcd" * 16), Digest("sha256:" + "abcd" + "0" * 60)
    add(templates, "one", first)
    add(templates, "two", second)
    with pytest.raises(ConflictError, match="stands for 2 templates"):
        templates.find("abcd")
    assert templates.find("abcd0").digest == second


@pytest.mark.parametrize("name", ["../x", "", "Name", "a/b", ".hidden", "x" * 64])
def test_a_name_is_never_a_path(templates: Templates, name: str, tmp_path: Path) -> None:
    with templates.draft() as draft:
        (draft / "rootfs").mkdir()
        with pytest.raises(RecipeError, match="cannot name a template"):
            templates.add(draft, manifest(), ONE, name)
    assert templates.every() == []
    assert list((tmp_path / "data/templates/drafts").iterdir()) == []


def test_a_template_built_again_takes_the_name(templates: Templates, tmp_path: Path) -> None:
    old = add(templates, "debian", ONE)
    use(tmp_path, "web", ONE)
    assert add(templates, "debian", TWO) == templates.find("debian")
    assert templates.find(ONE).names == ()
    assert templates.prune_untagged() == []
    (tmp_path / "data/containers/web/container.json").unlink()
    assert [one.digest for one in templates.prune_untagged()] == [ONE]
    assert not old.folder.exists()
    assert [one.digest for one in templates.every()] == [TWO]


def test_a_template_in_use_is_kept_and_its_users_are_named(
    templates: Templates, tmp_path: Path
) -> None:
    add(templates, "debian", ONE)
    use(tmp_path, "web", ONE)
    use(tmp_path, "other", TWO)
    with pytest.raises(ConflictError, match="used by the container `web`"):
        templates.remove("debian")
    assert templates.find("debian").rootfs.is_dir()


def test_a_damaged_container_counts_as_a_user(templates: Templates, tmp_path: Path) -> None:
    add(templates, "debian", ONE)
    use(tmp_path, "web", TWO)
    (tmp_path / "data/containers/web/container.json").write_text("{")
    with pytest.raises(ConflictError, match="`web`"):
        templates.remove("debian")


def test_the_last_name_takes_the_tree_with_it(templates: Templates, tmp_path: Path) -> None:
    folder = add(templates, "debian", ONE).folder
    templates.tag("stable", ONE)
    assert templates.find("stable").names == ("debian", "stable")
    templates.remove("debian")
    assert templates.find("stable").digest == ONE
    templates.remove("stable")
    assert not folder.exists()
    assert list((tmp_path / "data/templates/drafts").iterdir()) == []
    with pytest.raises(NotFoundError):
        templates.find(ONE)


def test_by_digest_all_names_go(templates: Templates) -> None:
    add(templates, "debian", ONE)
    templates.tag("stable", ONE)
    templates.remove(ONE)
    assert templates.every() == []
    with pytest.raises(NotFoundError):
        templates.find("stable")


def test_a_name_for_nothing_is_refused(templates: Templates) -> None:
    with pytest.raises(NotFoundError):
        templates.tag("debian", ONE)


def test_adding_the_same_again_keeps_the_tree_that_containers_stand_on(
    templates: Templates,
) -> None:
    before = add(templates, "debian", ONE).rootfs.stat().st_ino
    assert add(templates, "debian", ONE).rootfs.stat().st_ino == before


def test_drafts_of_the_dead_are_swept_and_of_the_living_left(
    templates: Templates, tmp_path: Path
) -> None:
    drafts = tmp_path / "data/templates/drafts"
    (drafts / "dead/draft/rootfs").mkdir(parents=True)
    (drafts / "living").mkdir()
    with locked(drafts / "living/lock"), templates.draft():
        assert (drafts / "living").exists()
        assert not (drafts / "dead").exists()


def test_many_may_add_at_once(tmp_path: Path) -> None:
    def work(number: int) -> None:
        add(Templates(tmp_path / "data"), "debian", digest_of(number % 3))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Templates(tmp_path / "data").every()
    assert {one.digest for one in found} == {digest_of(number) for number in range(3)}
    assert [one.names for one in found if one.names] == [("debian",)]
    assert list((tmp_path / "data/templates/drafts").iterdir()) == []
