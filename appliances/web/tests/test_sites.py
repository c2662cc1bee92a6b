"""Sites of each kind, as visitors meet them."""

import pytest

from builder.testing.client import Client
from builder.testing.container import Instance, eventually

from .conftest import Visit, put

STATIC, PHP, OTHER = "static.example.test", "php.example.test", "other.example.test"


def test_static(instance: Instance, visit: Visit) -> None:
    """A static site serves its files, by its aliases, too."""
    put(instance, STATIC, "htdocs/a/page.html", "<p>bread</p>\n")
    for name in (STATIC, f"www.{STATIC}"):
        page = visit(f"https://{name}/a/page.html")
        assert (page.status, page.text) == (200, "<p>bread</p>\n")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert visit(f"https://{STATIC}/none").status == 404


def test_https_only(visit: Visit) -> None:
    """HTTP leads to HTTPS, and browsers are told to come by that."""
    page = visit(f"http://{STATIC}/a?b=c")
    assert (page.status, page.headers["Location"]) == (301, f"https://{STATIC}/a?b=c")
    assert "max-age=31536000" in visit(f"https://{STATIC}/").headers["Strict-Transport-Security"]


def test_plain(visit: Visit) -> None:
    """A site without TLS is served by HTTP."""
    page = visit("http://plain.example.test/")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"] is None


def test_no_version(visit: Visit) -> None:
    """It does not say which versions it has."""
    headers = visit(f"https://{PHP}/").headers
    assert headers["Server"] == "nginx"
    assert headers["X-Powered-By"] is None


def test_http2(client: Client, instance: Instance) -> None:
    """Clients that know HTTP/2 have it."""
    words = ("--insecure", "--connect-to", f"::{instance.name}:", "--http2")
    asked = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_version}", *words)
    assert client.exec(*asked, f"https://{STATIC}/") == "2"


@pytest.mark.parametrize("version", ["1", "1.1"])
def test_no_old_tls(client: Client, instance: Instance, version: str) -> None:
    """TLS before 1.2 is refused."""
    option = f"-tls{version.replace('.', '_')}"
    words = ("-connect", f"{instance.name}:443", "-servername", STATIC)
    done = client.attempt("openssl", "s_client", *words, "-cipher", "ALL:@SECLEVEL=0", option)
    assert done.code != 0
    assert "Cipher is (NONE)" in done.output


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_new_tls(client: Client, instance: Instance, version: str) -> None:
    """TLS 1.2 and 1.3 are spoken, with forward secrecy."""
    option = f"-tls{version.replace('.', '_')}"
    words = ("-connect", f"{instance.name}:443", "-servername", STATIC)
    said = client.exec("openssl", "s_client", *words, option)
    assert f"TLSv{version}" in said
    assert "Server Temp Key: X25519" in said


def test_certificate(client: Client, instance: Instance) -> None:
    """Each site's certificate has all of its names."""
    words = ("-connect", f"{instance.name}:443", "-servername", f"www.{STATIC}", "-showcerts")
    said = client.exec("openssl", "s_client", *words)
    told = client.exec("openssl", "x509", "-noout", "-ext", "subjectAltName", stdin=said.encode())
    assert f"DNS:{STATIC}, DNS:www.{STATIC}" in told


def test_strangers(client: Client, instance: Instance) -> None:
    """Whoever asks for an unknown name gets no answer, by neither protocol."""
    options = ("-s", "--connect-to", f"::{instance.name}:", "-k")
    assert client.attempt("curl", *options, "http://unknown.example.test/").code == 52
    assert client.attempt("curl", *options, "https://unknown.example.test/").code == 35
    assert client.attempt("curl", "-s", f"http://{instance.name}/").code == 52


def test_php(instance: Instance, visit: Visit) -> None:
    """A PHP site runs its programs, as its own user, with its database."""
    put(instance, PHP, "htdocs/loaves.php", """<?php
        $user = posix_getpwuid(posix_geteuid())["name"];
        $db = new mysqli("localhost", $user, database: $user, socket: "/run/mysqld/mysqld.sock");
        $db->query("CREATE TABLE IF NOT EXISTS loaves (n INT)");
        $db->query("INSERT INTO loaves VALUES (4)");
        echo $user, " ", $db->query("SELECT MAX(n) FROM loaves")->fetch_row()[0];
    """)  # fmt: skip
    page = visit(f"https://{PHP}/loaves.php")
    assert page.status == 200
    assert page.text.startswith("w_php_example_test")
    assert page.text.endswith(" 4")


def test_clean_addresses(instance: Instance, visit: Visit) -> None:
    """What is no file is for the site's own program to answer."""
    put(instance, OTHER, "htdocs/index.php", "<?php echo $_SERVER['REQUEST_URI'];")
    assert visit(f"https://{OTHER}/a/b?c=d").text == "/a/b?c=d"


@pytest.mark.parametrize(
    ("size", "status"), [(3 << 20, 200), ((4 << 20) + 1, 413)], ids=["fits", "too-large"]
)
def test_size_limits(
    client: Client, instance: Instance, visit: Visit, size: int, status: int
) -> None:
    """Requests have at most the size that the site allows."""
    put(instance, PHP, "htdocs/size.php", "<?php echo strlen(file_get_contents('php://input'));")
    client.exec("truncate", "-s", str(size), "/tmp/upload")
    page = visit(f"https://{PHP}/size.php", "--data-binary", "@/tmp/upload")
    assert page.status == status
    assert page.text == str(size) or status == 413


def test_static_runs_nothing(instance: Instance, visit: Visit) -> None:
    """A static site neither runs PHP nor shows it."""
    put(instance, STATIC, "htdocs/secret.php", "<?php echo 'ran'; // password")
    assert visit(f"https://{STATIC}/secret.php").status == 404


def test_proxy(instance: Instance, visit: Visit) -> None:
    """A proxy passes requests on, and says where they come from, whatever they say themselves."""
    name = "behind.example.test"
    instance.exec("webctl", "site", "add", name, "proxy", "to=http://127.0.0.1:8082")
    echo = """<?php
        foreach (getallheaders() as $name => $value) echo "$name: $value\\n";
        echo $_SERVER["REQUEST_URI"];
    """
    instance.exec("tee", "/tmp/echo.php", stdin=echo.encode())
    run = ("systemd-run", "--quiet", "--collect", "--unit=behind")
    instance.exec(*run, "php", "-S", "127.0.0.1:8082", "/tmp/echo.php")
    forged = ("-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Forwarded-Proto: gopher")
    assert eventually(lambda: visit(f"https://{name}/").status == 200)
    page = visit(f"https://{name}/path?x=1", *forged)
    assert page.text.endswith("/path?x=1")
    assert f"Host: {name}\n" in page.text
    assert "X-Forwarded-Proto: https\n" in page.text
    assert "192.0.2.1" not in page.text
    instance.exec("systemctl", "stop", "behind")
    assert visit(f"https://{name}/").status == 502
    assert f"`{name}` answers with 502" in instance.attempt("webctl", "check").output
    instance.exec("webctl", "site", "remove", name)


def test_redirect(visit: Visit) -> None:
    """A redirect leads elsewhere."""
    page = visit("https://old.example.test/whatever")
    assert (page.status, page.headers["Location"]) == (301, f"https://{STATIC}/moved")


def test_compressed_and_partial(instance: Instance, visit: Visit) -> None:
    """Texts are compressed, and parts of files are given."""
    put(instance, STATIC, "htdocs/long.css", "a { b: c }\n" * 1000)
    packed = visit(f"https://{STATIC}/long.css", "--compressed")
    assert packed.headers["Content-Encoding"] == "gzip"
    part = visit(f"https://{STATIC}/long.css", "--range", "0-3")
    assert (part.status, part.text) == (206, "a { ")


def test_addresses_behind_a_proxy(client: Client, instance: Instance, visit: Visit) -> None:
    """Who is behind a trusted proxy is known by its own address; others are not believed."""
    put(instance, PHP, "htdocs/who.php", "<?php echo $_SERVER['REMOTE_ADDR'];")
    forged = ("-H", "X-Forwarded-For: 192.0.2.7", "-4")
    assert visit(f"https://{PHP}/who.php", *forged).text == client.address
    instance.configure({"trusted_proxies": [client.address]})
    try:
        assert visit(f"https://{PHP}/who.php", *forged).text == "192.0.2.7"
    finally:
        instance.configure({"trusted_proxies": []})


def test_logs(instance: Instance, visit: Visit) -> None:
    """Each site has a log of its own, which is rotated."""
    visit(f"https://{STATIC}/in-the-log")
    log = f"/var/log/nginx/{STATIC}.access.log"
    assert "GET /in-the-log" in instance.exec("cat", log)
    instance.exec("logrotate", "--force", "/etc/logrotate.d/nginx")
    assert "GET /in-the-log" in instance.exec("cat", f"{log}.1")
    visit(f"https://{STATIC}/after")
    assert "GET /after" in instance.exec("cat", log)
