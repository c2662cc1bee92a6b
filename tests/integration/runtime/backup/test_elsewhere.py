"""Backups on another machine, by a real sshd on loopback."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from builder.runtime.storage import volumes
from tests.integration.runtime.backup.conftest import Shop
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon", "program:restic")

SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""
SSH = """\
Host store
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {folder}/user
  IdentitiesOnly yes
  BatchMode yes
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking accept-new
"""


class Forbids(BaseHTTPRequestHandler):
    """A store that knows nobody, and notes who asks."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization", ""))
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_credentials_of_s3_come_from_a_file(shop: Shop, tmp_path: Path) -> None:
    shop.made()
    file = tmp_path / "s3.env"
    file.write_text("# shop\nAWS_ACCESS_KEY_ID=keyofshop\nAWS_SECRET_ACCESS_KEY=hidden=\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbids) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            where = ("--repository", f"s3:http://127.0.0.1:{server.server_port}/shop")
            init = ("backup", "init", "shop", *where, "--credentials", file)
            assert f"chmod 600 {file}" in shop.oven.said(*init, code=7)
            file.chmod(0o600)
            told = shop.oven.said(*init, code=4)
        finally:
            server.shutdown()
    assert "cannot be reached" in told
    assert "hidden" not in told
    assert any("Credential=keyofshop/" in one for one in Forbids.asked)
    assert "cannot be reached" in shop.oven.said(*init, code=4), "nobody is there now"
    file.write_text("AWS_ACCESS_KEY_ID\n")
    assert "line 1 of the credentials is no `NAME=value`" in shop.oven.said(*init, code=2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A server for files; gives the option by which it is found, and its process."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    for name in ("host", "user"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(argv, check=True)
    for name, form in (("sshd", SSHD), ("ssh", SSH)):
        (folder / name).write_text(form.format(port=port, folder=folder))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd"], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"listening" in line:
            break
    else:
        pytest.fail("sshd has not come up")
    try:
        yield f"sftp.command=ssh -F {folder / 'ssh'} store -s sftp", process
    finally:
        process.terminate()
        process.communicate()


@needs("program:sshd", "program:ssh")
@pytest.mark.slow
def test_a_repository_by_sftp(
    shop: Shop, store: tuple[str, "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    option, server = store
    where = f"sftp:store:{tmp_path}/far"
    shop.made()
    shop.oven("backup", "init", "shop", "--repository", where, "-o", option)
    shop.sh("echo mine >/var/lib/notes/mine")
    shop.backed_up()
    assert (tmp_path / "far/config").exists()
    shop.oven("backup", "restore", "shop", "--as", "other")
    assert (shop.data("other.notes") / "mine").read_text() == "mine\n"
    server.terminate()
    server.wait()
    told = shop.oven.said("backup", "create", "shop", code=4)
    assert f"the repository `{where}` cannot be reached" in told
    assert shop.sh("cat /var/lib/notes/log") == "before\nafter\n"
    told = shop.oven.said("backup", "restore", "shop", "--as", "third", code=4)
    assert "cannot be reached" in told
    assert [one.name for one in volumes.every(shop.rig.places)] == ["other.notes", "shop.notes"]
    assert shop.left() == []
