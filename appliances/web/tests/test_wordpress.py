"""WordPress, as its administrator and readers use it."""

import json
import re

from builder.testing.client import Client
from builder.testing.container import Instance

from .conftest import Visit

BLOG = "blog.example.test"


def log_in(client: Client, visit: Visit, password: str) -> int:
    """Log in with a fresh cookie jar; 302 leads to the dashboard."""
    client.exec("rm", "-f", "/tmp/jar")
    visit(f"https://{BLOG}/wp-login.php", "-c", "/tmp/jar")
    fields = ("-d", "log=admin", "--data-urlencode", f"pwd={password}", "-d", "testcookie=1")
    return visit(f"https://{BLOG}/wp-login.php", "-b", "/tmp/jar", "-c", "/tmp/jar", *fields).status


def password(instance: Instance) -> str:
    """Give what the first administrator was given."""
    return instance.exec("webctl", "site", "password", BLOG).strip()


def test_set_up(visit: Visit) -> None:
    """It is set up, with the title that was answered."""
    page = visit(f"https://{BLOG}/")
    assert page.status == 200
    assert "<title>Bread &amp; butter</title>" in page.text
    theme = f"https://{BLOG}/wp-content/themes/twentytwentythree"
    assert visit(f"{theme}/style.css").headers["Content-Type"].startswith("text/css")
    assert visit(f"https://{BLOG}/wp-admin/install.php").text.count("Already Installed")


def test_log_in(client: Client, instance: Instance, visit: Visit) -> None:
    """The administrator logs in by the password that was made, and by no other one."""
    assert log_in(client, visit, "wrong") == 200
    assert log_in(client, visit, password(instance)) == 302
    page = visit(f"https://{BLOG}/wp-admin/", "-b", "/tmp/jar")
    assert page.status == 200
    assert "Dashboard" in page.text


def test_post_with_picture(client: Client, instance: Instance, visit: Visit) -> None:
    """A post with a picture is published, and readers see both."""
    assert log_in(client, visit, password(instance)) == 302
    nonce = visit(f"https://{BLOG}/wp-admin/admin-ajax.php?action=rest-nonce", "-b", "/tmp/jar")
    jar = ("-b", "/tmp/jar", "-H", f"X-WP-Nonce: {nonce.text.strip()}")
    picture = instance.exec("php", "-r", (
        "$i = imagecreatetruecolor(600, 600); imagefill($i, 0, 0, 0xd9622b);"
        " ob_start(); imagepng($i); echo base64_encode(ob_get_clean());"
    ))  # fmt: skip
    client.exec("sh", "-c", "base64 -d >/tmp/loaf.png", stdin=picture.encode())
    sent = ("--data-binary", "@/tmp/loaf.png", "-H", "Content-Type: image/png",
            "-H", "Content-Disposition: attachment; filename=loaf.png")  # fmt: skip
    media = json.loads(visit(f"https://{BLOG}/wp-json/wp/v2/media", *jar, *sent).text)
    assert "thumbnail" in media["media_details"]["sizes"]
    post = {"title": "Fresh loaves", "status": "publish",
            "content": f"<img src='{media['source_url']}'>"}  # fmt: skip
    words = ("-H", "Content-Type: application/json", "--data", json.dumps(post))
    made = json.loads(visit(f"https://{BLOG}/wp-json/wp/v2/posts", *jar, *words).text)
    assert re.fullmatch(rf"https://{BLOG}/\d{{4}}/\d\d/fresh-loaves/", made["link"])
    page = visit(made["link"])
    assert "Fresh loaves" in page.text
    shown = visit(media["source_url"], "-o", "/tmp/shown.png", "-w", "HTTP/1.1 200\n\n")
    assert shown.status == 200
    client.exec("sh", "-c", "head -c 4 /tmp/shown.png >/dev/null")


def test_closed_doors(visit: Visit) -> None:
    """What mostly attackers ask for is closed, and aliases lead to the one address."""
    assert visit(f"https://{BLOG}/xmlrpc.php").status == 404
    assert visit(f"https://{BLOG}/wp-config.php").text == ""


def test_guessing_is_slow(client: Client, instance: Instance) -> None:
    """Who guesses passwords is told to wait."""
    url = f"https://{BLOG}/wp-login.php"
    words = ("-sk", "--connect-to", f"::{instance.name}:", "-o", "/dev/null")
    again = 'for i in $(seq 25); do curl -w "%{http_code}\\n" "$@"; done'
    said = client.exec("sh", "-c", again, "sh", *words, url)
    assert "429" in said.split()


def test_jobs_are_done(instance: Instance) -> None:
    """What was written to appear by now appears without a visitor."""
    program = """
        require "/usr/share/wordpress/wp-load.php";
        wp_insert_post(["post_title" => "Later", "post_status" => "future",
            "post_date" => date("Y-m-d H:i:s", time() + 2)]);
    """
    key = instance.exec("php", "-r", f"echo substr(hash('sha256', '{BLOG}'), 0, 16);")
    owner = instance.exec("stat", "-c", "%U", f"/srv/sites/{BLOG}").strip()
    where = f'$_SERVER["WORDPRESS_CONFIG"] = "{key}"; $_SERVER["HTTP_HOST"] = "{BLOG}";'
    instance.exec("php", "-r", where + program, user=owner)
    instance.exec("sh", "-c", "sleep 3; webctl cron")
    program = """
        require "/usr/share/wordpress/wp-load.php";
        echo get_posts(["title" => "Later", "post_status" => "any"])[0]->post_status;
    """
    read = where + program
    assert instance.exec("php", "-r", read, user=owner).strip() == "publish"


def test_a_restart_logs_nobody_out(client: Client, instance: Instance, visit: Visit) -> None:
    """Sessions go on after a reboot."""
    assert log_in(client, visit, password(instance)) == 302
    instance.restart()
    assert visit(f"https://{BLOG}/wp-admin/", "-b", "/tmp/jar").status == 200
