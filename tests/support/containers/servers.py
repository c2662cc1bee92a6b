"""Small servers of many protocols in the network of a container; each can be broken on its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# Each line of these is a turn of the server: what it waits for, and what it says then.
TALKS: Mapping[str, tuple[tuple[bytes, bytes], ...]] = {
    "tcp": ((b"", b""),),
    "tls": ((b"", b""),),
    "http": ((b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall well"),),
    "smtp": (
        (b"", b"220 here\r\n"),
        (b"\r\n", b"250-here\r\n250 STARTTLS\r\n"),
        (b"STARTTLS\r\n", b"220 go ahead\r\n"),
    ),
    "lmtp": ((b"", b"220 here\r\n"), (b"\r\n", b"250 here\r\n")),
    "imap": ((b"", b"* OK here\r\n"), (b"\r\n", b"* 1 EXISTS\r\nb OK done\r\n")),
    "pg": ((b"postgres\0\0", b"R\0\0\0\x08\0\0\0\x03"),),
    "mysql": ((b"", b"\x0a\0\0\0\x0a10.11.6\0\0"),),
    "redis": ((b"PING\r\n", b"+PONG\r\n"),),
    "ldap": ((b"\x80\0", bytes.fromhex("300c02010161070a010004000400")),),
}
WRONG: Mapping[str, bytes] = {
    "http": b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n",
    "pg": b"E\0\0\0\x26SFATAL\0C57P03\0Mit is starting up\0\0\0",
    "redis": b"-LOADING it reads its data\r\n",
    "mysql": b"\x11\0\0\0\xff\x10\x04Too many of us",
    "ldap": bytes.fromhex("300c02010161070a013404000400"),
}
"""What a server says at once that is up and does not work; others talk nonsense."""
NONSENSE = b"what do you want?\r\n" * 3

SERVER = """
import socket, ssl, sys
port, certificate, start_tls, *talk = sys.argv[1:]
turns = [bytes.fromhex(one) for one in talk]
turns = list(zip(turns[::2], turns[1::2]))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
if certificate:
    context.load_cert_chain(certificate)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(port)))
listener.listen()
print("up", flush=True)
def talk(client):
    said = b""
    if certificate and not int(start_tls):
        client = context.wrap_socket(client, server_side=True)
    for awaited, answer in turns:
        while not said.endswith(awaited):
            data = client.recv(4096)
            if not data:
                return
            said += data
        said = b""
        client.sendall(answer)
    if int(start_tls):
        client = context.wrap_socket(client, server_side=True)
    while client.recv(4096):
        pass
while True:
    client, _ = listener.accept()
    try:
        with client:
            talk(client)
    except OSError:
        pass
"""
RESOLVER = """
import socket, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while True:
    question, client = listener.recvfrom(512)
    flags, count = bytes.fromhex(sys.argv[2]), int(sys.argv[3])
    answer = question[:2] + flags + question[4:6] + count.to_bytes(2, "big") + question[8:]
    listener.sendto(answer, client)
"""


@dataclass
class Server:
    """One of them."""

    argv: list[str]
    pid: int
    """A process whose network it is in."""
    running: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self) -> None:
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net", sys.executable, "-c"]
        process = subprocess.Popen([*enter, *self.argv], stdout=subprocess.PIPE)
        self.running.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"up\n"

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()
        self.running.clear()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, and see it take effect when it halts the server."""
        for process in self.running:
            process.send_signal(number)
            if number == signal.SIGSTOP:
                os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def server(
    kind: str, port: int, pid: int, *, certificate: str = "", says: bytes | None = None
) -> Server:
    """Describe a server, with TLS where there is a certificate; `says` is what it says in place."""
    if kind == "dns":
        return Server(
            [RESOLVER, str(port), *(("8180", "1") if says is None else ("8183", "0"))], pid
        )
    turns = TALKS[kind]
    if says is not None:
        turns = ((turns[0][0], says),)
    words = [part.hex() for turn in turns for part in turn]
    start_tls = str(int(kind == "smtp" and bool(certificate)))
    return Server([SERVER, str(port), certificate, start_tls, *words], pid)


@contextmanager
def started(servers: Mapping[str, Server]) -> Iterator[Mapping[str, Server]]:
    """Start them all, and end them."""
    try:
        for one in servers.values():
            one.start()
        yield servers
    finally:
        for one in servers.values():
            one.stop()


def certificate(path: Path, name: str, days: int) -> str:
    """Write a key and a certificate that is valid so many days from now; give where."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    end = datetime.now(UTC) + timedelta(days=days, hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=500))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    own = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(own + made.public_bytes(pem))
    return str(path)
