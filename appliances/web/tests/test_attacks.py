"""What one site's owner and its visitors may try, and do not get."""

import pytest

from builder.testing.client import Client
from builder.testing.container import Instance

from .conftest import Visit, put

PHP, OTHER, BLOG = "php.example.test", "other.example.test", "blog.example.test"


@pytest.fixture(autouse=True)
def treasure(instance: Instance) -> None:
    """What the other site does not give away."""
    put(instance, OTHER, "htdocs/config.php", "<?php // the treasure")


def attack(instance: Instance, visit: Visit, program: str) -> str:
    """Run a program as one site's owner, by PHP; give what it prints."""
    put(instance, PHP, "htdocs/attack.php", f"<?php {program}")
    return visit(f"https://{PHP}/attack.php").text


@pytest.mark.parametrize(
    "file",
    [
        f"/srv/sites/{OTHER}/htdocs/config.php",
        f"/srv/sites/{PHP}/../{OTHER}/htdocs/config.php",
        "/etc/web/settings.json",
        "/etc/passwd",
        "/run/web/seed",
        "/var/lib/web/sites.json",
        f"/var/lib/web/tls/{OTHER}.pem",
        "/proc/self/environ",
        "/var/log/nginx/access.log",
    ],
)
def test_no_files(instance: Instance, visit: Visit, file: str) -> None:
    """A site's program reads no file of another one or of the system."""
    said = attack(instance, visit, f"echo '[', @file_get_contents('{file}'), ']';")
    assert said == "[]"


def test_no_lists(instance: Instance, visit: Visit) -> None:
    """It does not even see which other sites there are."""
    tried = "foreach (['/srv/sites', '/etc', '/tmp'] as $one) echo json_encode(@scandir($one));"
    assert attack(instance, visit, tried) == "falsefalsefalse"


@pytest.mark.parametrize("call", ["system('id')", "exec('id')", "`id`", "proc_open('id', [], $p)",
                                  "mail('a@example.test', 's', 'b', '', '-X/tmp/x')"])  # fmt: skip
def test_no_programs(instance: Instance, visit: Visit, call: str) -> None:
    """It runs no program of the system."""
    said = attack(instance, visit, f"try {{ echo json_encode(@{call}); }} catch (Error $e) {{}}")
    assert "uid=" not in said


def test_no_other_database(instance: Instance, visit: Visit) -> None:
    """It comes to no database but its own, and as nobody else."""
    program = """
        mysqli_report(MYSQLI_REPORT_OFF);
        $socket = "/run/mysqld/mysqld.sock";
        $me = posix_getpwuid(posix_geteuid())["name"];
        $db = new mysqli("localhost", $me, socket: $socket);
        foreach ($db->query("SHOW DATABASES")->fetch_all() as [$name]) echo $name, " ";
        foreach (["root", "mysql", "www-data"] as $user)
            echo (@new mysqli("localhost", $user, socket: $socket))->connect_errno;
    """
    shown = attack(instance, visit, program)
    assert "w_other" not in shown
    assert "w_blog" not in shown
    assert shown.endswith("169816981698")


def test_no_other_pool(instance: Instance, visit: Visit) -> None:
    """It speaks to no PHP of another site, which would run what it likes as that one."""
    program = f"echo json_encode(@stream_socket_client('unix:///run/web-php/{OTHER}.sock'));"
    assert attack(instance, visit, program) == "false"


def test_no_links(instance: Instance, visit: Visit) -> None:
    """The web server follows no link from one site to another."""
    owner = instance.exec("stat", "-c", "%U", f"/srv/sites/{PHP}").strip()
    link = f"/srv/sites/{PHP}/htdocs/loot.txt"
    target = f"/srv/sites/{OTHER}/htdocs/config.php"
    instance.exec("ln", "-sf", target, link, user=owner)
    page = visit(f"https://{PHP}/loot.txt")
    assert page.status in {403, 404}
    assert "treasure" not in page.text
    instance.exec("rm", link)


def test_shells_are_no_way_out(instance: Instance) -> None:
    """Nobody logs in as a site's user, and its files are closed to all others."""
    owner = instance.exec("stat", "-c", "%U", f"/srv/sites/{PHP}").strip()
    assert instance.exec("getent", "passwd", owner).strip().endswith(":/usr/sbin/nologin")
    found = instance.attempt("cat", f"/srv/sites/{OTHER}/htdocs/config.php", user=owner)
    assert found.code == 1


def test_no_hidden_files(instance: Instance, visit: Visit) -> None:
    """Visitors see no hidden files and backups, and run nothing that is no program."""
    for file in (".git/config", ".htpasswd", "index.php~", "dump.sql", "config.php.bak"):
        put(instance, PHP, f"htdocs/{file}", "loot")
    put(instance, PHP, "htdocs/picture.jpg", "<?php echo 'loot';")
    put(instance, PHP, "htdocs/index.php", "<?php http_response_code(404);")
    for path in (
        "/.git/config", "/.htpasswd", "/index.php~", "/dump.sql", "/config.php.bak",
        "/..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/picture.jpg/evil.php",
        "/picture.jpg%00.php",
    ):  # fmt: skip
        page = visit(f"https://{PHP}{path}", "--path-as-is")
        assert page.status in {400, 403, 404}, path
        assert "loot" not in page.text, path


def test_uploads_do_not_run(instance: Instance, visit: Visit) -> None:
    """What visitors of a WordPress upload is never run."""
    for name in ("evil.php", "evil.phtml", "2026/11/evil.php", "evil.php/x"):
        if "/x" not in name:
            put(instance, BLOG, f"wp-content/uploads/{name}", "<?php echo 6*7;")
        page = visit(f"https://{BLOG}/wp-content/uploads/{name}")
        assert page.status == 404, name
        assert "42" not in page.text


def test_no_database_outside(client: Client, instance: Instance) -> None:
    """The database is not on the network."""
    for port in (3306, 8081):
        assert client.attempt("curl", "-s", f"http://{instance.name}:{port}/").code == 7


def test_links_for_root(instance: Instance) -> None:
    """Root follows no link that a site's owner has put in its way."""
    owner = instance.exec("stat", "-c", "%U", f"/srv/sites/{PHP}").strip()
    spoil = "rm -rf tmp; for one in tmp .new-tmp; do ln -s /etc/web $one; done"
    instance.exec("sh", "-c", f"cd /srv/sites/{PHP} && {{ {spoil}; }}", user=owner)
    before = instance.exec("stat", "-c", "%U:%G %a", "/etc/web")
    instance.exec("webctl", "apply")
    assert instance.exec("stat", "-c", "%U:%G %a", "/etc/web") == before
    assert instance.exec("ls", "/etc/web").split() == ["database", "settings.json"]
    instance.exec("rm", f"/srv/sites/{PHP}/tmp", f"/srv/sites/{PHP}/.new-tmp", user=owner)
    instance.exec("webctl", "apply")
