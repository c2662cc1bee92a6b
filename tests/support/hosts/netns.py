"""Network namespaces for tests: one plays the host, others its containers and the world outside."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000

SERVER = """
import socket, sys, select
name, address, ports = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])
sockets = []
for port in ports:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        if ":" in address:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        sockets.append(s)
print("ready", flush=True)
while True:
    for s in select.select(sockets, [], [])[0]:
        if s.type == socket.SOCK_STREAM:
            c, peer = s.accept()
            c.sendall(f"{name} {peer[0]}".encode())
            c.close()
        else:
            _, peer = s.recvfrom(100)
            s.sendto(f"{name} {peer[0]}".encode(), peer)
"""

CLIENT = """
import socket, sys
protocol, address, port, timeout, source = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
s.settimeout(float(timeout))
if source:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    address_, _, port_ = source.partition("#")
    s.bind((address_, int(port_ or 0)))
try:
    s.connect((address, int(port)))
    if protocol == "udp":
        s.send(b"?")
    print(s.recv(100).decode(), end="")
except OSError as error:
    print(type(error).__name__, end="")
"""


class Namespace:
    """A network namespace with a process that holds it; its loopback interface is up."""

    def __init__(self, *, userns: bool = False) -> None:
        user = ["--user", "--map-root-user"] if userns else []
        self.process = subprocess.Popen(
            ["unshare", *user, "--net", "sh", "-c", "echo; exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        self.process.stdout.readline()
        self._servers: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    def argv(self, *argv: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv]

    def run(self, *argv: str) -> str:
        done = subprocess.run(self.argv(*argv), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self, name: str, *ports: int, address: str = "0.0.0.0") -> None:
        """Answer on TCP and UDP ports with this name and the address of who asks."""
        self.start(SERVER, name, address, *map(str, ports))

    def start(self, script: str, *arguments: str) -> None:
        """Start a server that says `ready` when it is."""
        argv = self.argv(sys.executable, "-IS", "-c", script, *arguments)
        server = subprocess.Popen(argv, stdout=subprocess.PIPE)
        self._servers.append(server)
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"

    def ask(
        self,
        protocol: str,
        address: str,
        port: int,
        *,
        timeout: float = 5,
        source: str = "",
    ) -> str:
        """Give what a server answers, or the name of the error; a source is `ADDRESS[#PORT]`."""
        script = [sys.executable, "-IS", "-c", CLIENT, protocol, address]
        return self.run(*script, str(port), str(timeout), source)

    def stop_servers(self) -> None:
        while self._servers:
            _end(self._servers.pop())

    def close(self) -> None:
        self.stop_servers()
        _end(self.process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@contextmanager
def world() -> Iterator[tuple[Namespace, Namespace]]:
    """Play a host, which this process is in until the end, and a machine on its LAN.

    The host is 198.51.100.1 and 2001:db8::1, the other 198.51.100.2 and 2001:db8::2, which is the
    host's default route.
    """
    with ExitStack() as stack:
        host, outside = Namespace(), Namespace()
        stack.callback(host.close)
        stack.callback(outside.close)
        link = f"link add lan0 type veth peer name eth0 netns {outside.pid}"
        host.run("ip", *link.split())
        for namespace, device, address in ((host, "lan0", "1"), (outside, "eth0", "2")):
            namespace.run("ip", "address", "add", f"198.51.100.{address}/24", "dev", device)
            namespace.run("ip", "address", "add", f"2001:db8::{address}/64", "dev", device, "nodad")
            for name in ("lo", device):
                namespace.run("ip", "link", "set", name, "up")
        for gateway in ("198.51.100.2", "2001:db8::2"):
            host.run("ip", "route", "add", "default", "via", gateway)
        before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, before)
        _enter(Path(f"/proc/{host.pid}/ns/net"))
        stack.callback(_enter, before)
        yield host, outside


def _enter(namespace: Path | int) -> None:
    fd = namespace if isinstance(namespace, int) else os.open(namespace, os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    status = libc.setns(fd, CLONE_NEWNET)
    if not isinstance(namespace, int):
        os.close(fd)
    assert status == 0, os.strerror(ctypes.get_errno())
