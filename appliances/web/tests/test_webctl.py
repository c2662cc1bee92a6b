"""`webctl`, for who is inside."""

import json

from builder.testing.container import Instance

from .conftest import Visit, put


def test_list(instance: Instance) -> None:
    """All sites are listed, and who has told of them."""
    rows = json.loads(instance.exec("webctl", "site", "list", "--json"))
    assert {row["name"]: row["kind"] for row in rows}["blog.example.test"] == "wordpress"
    assert {row["added"] for row in rows} == {"by the answers"}


def test_add_and_remove(instance: Instance, visit: Visit) -> None:
    """A site is added and removed inside, and stays over a reboot; its files always stay."""
    instance.exec("webctl", "site", "add", "new.example.test", "php", "max_upload=2")
    put(instance, "new.example.test", "htdocs/index.php", "<?php echo 'new';")
    assert visit("https://new.example.test/").text == "new"
    instance.restart()
    assert visit("https://new.example.test/").text == "new"
    instance.exec("webctl", "site", "remove", "new.example.test")
    instance.exec("test", "-f", "/srv/sites/new.example.test/htdocs/index.php")
    assert "new.example.test" not in instance.exec("webctl", "site", "list")


def test_wrong_sites(instance: Instance) -> None:
    """What cannot be a site is refused, and nothing changes."""
    before = instance.exec("webctl", "site", "list")
    for words, said in (
        (("-x-.example.test",), "must be a host name"),
        (("a.example.test", "cgi"), "must be one of static, php"),
        (("a.example.test", "proxy"), "needs to=URL"),
        (("a.example.test", "php", "workers=0"), "a number from 1 to 200"),
        (("a.example.test", "redirect", "to=http://x/;}"), "must be an http or https address"),
        (("php.example.test",), "is a site already"),
        (("www.static.example.test",), "is a site already"),
        (("a.example.test", "colour=red"), "nothing called `colour`"),
    ):
        done = instance.attempt("webctl", "site", "add", *words)
        assert done.code == 1, words
        assert said in done.output, words
    assert (
        "one of the answers' sites"
        in instance.attempt("webctl", "site", "remove", "php.example.test").output
    )
    assert instance.exec("webctl", "site", "list") == before


def test_backup(instance: Instance) -> None:
    """A backup has the files of a site and its database, and is nobody else's to read."""
    archive = instance.exec("webctl", "site", "backup", "blog.example.test").strip()
    assert instance.exec("stat", "-c", "%a %U", archive).strip() == "600 root"
    listed = instance.exec("tar", "-tzf", archive)
    assert "blog.example.test/wp-content/" in listed
    dump = instance.exec("tar", "-xzOf", archive, "database.sql")
    assert "INSERT INTO `wp_posts`" in dump
    done = instance.attempt("webctl", "site", "backup", "old.example.test")
    assert "all of it is in the answers" in done.output


def test_check(instance: Instance) -> None:
    """Each site is asked for a page."""
    assert instance.exec("webctl", "check") == "all 7 sites answer\n"


def test_the_same_again(instance: Instance) -> None:
    """What is as it was told tells nobody anything."""

    def main(unit: str) -> str:
        return instance.exec("systemctl", "show", "-p", "MainPID,ActiveEnterTimestamp", unit)

    before = [main("nginx.service"), main("web-php.service")]
    assert instance.exec("webctl", "apply") == ""
    assert [main("nginx.service"), main("web-php.service")] == before
