"""The network of an ordinary user's container: out to the world, and not to the host's loopback."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.hosts.netns import Namespace, world
from tests.support.needs import needs
from tests.support.oven import Oven, text, wait_for_line

pytestmark = [
    needs(
        "root", "archive", "userns", "program:newuidmap", "program:useradd", "program:runc",
        "program:conmon", "program:pasta",
    ),
    pytest.mark.usefixtures("nothing_left_of_user"),
]  # fmt: skip

PORT = 18399
ASK = r"""
use IO::Socket::IP;
use Socket;
my @answers;
for (@ARGV) {
    my $child = open(my $answer, "-|");  # side by side, since what is dropped is waited for
    push @answers, $answer;
    if (!$child) { ask($_); exit }
}
print <$_> for @answers;
sub ask {
    my ($kind, $address, $port) = split / /, shift;
    my $socket = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port,
        Type => $kind eq "tcp" ? SOCK_STREAM : SOCK_DGRAM, Timeout => 3);
    if (!$socket) { print "$kind $address: $!\n"; return }
    my $data = "";
    $socket->send("?") if $kind eq "udp";
    my $bits = ""; vec($bits, fileno $socket, 1) = 1;
    $socket->recv($data, 99) if select($bits, undef, undef, 3);
    print "$kind $address: [$data]\n";
}
"""
SERVE = r"""
use IO::Socket::IP;
use Socket;
$| = 1;
my @all;
for my $port (80, 81) {
    push @all, IO::Socket::IP->new(LocalHost => "::", LocalPort => $port, V6Only => 0, Listen => 9,
        ReuseAddr => 1) or die;
    push @all, IO::Socket::IP->new(LocalHost => "::", LocalPort => $port, V6Only => 0,
        Type => SOCK_DGRAM) or die;
}
print "serving\n";
while (1) {
    my $bits = "";
    vec($bits, fileno $_, 1) = 1 for @all;
    select($bits, undef, undef, undef);
    for (grep { vec($bits, fileno $_, 1) } @all) {
        if ($_->socktype == SOCK_STREAM) { print { $_->accept } "from inside" }
        else { $_->recv(my $data, 99); $_->send("from inside") }
    }
}
"""
AROUND = """
for one in local:127.0.0.0/8 local:127.0.0.1; do ip route del ${one#*:} table local || :; done
ip route del ::1 table local || ip -6 route del local ::1 table local
ip address del ::1/128 dev lo || :
ip route add 127.0.0.0/8 via 198.51.100.2 dev eth0 src 198.51.100.1
ip -6 route add ::1 via 2001:db8::2 dev eth0 src 2001:db8::1
ip route get 127.0.0.1 | grep eth0 >&2
ip route get ::1 | grep eth0 >&2
"""
"""Have what is meant for a loopback leave by the interface."""


@pytest.fixture
def user(networked: Oven, tmp_path: Path) -> Iterator[Oven]:
    """The command of a user whose host's own name server listens on loopback alone."""
    stub = tmp_path / "resolv.conf"
    stub.write_text("nameserver 127.0.0.53\n")
    argv = ("unshare", "--mount", "sh", "-c", f'mount --bind {stub} /etc/resolv.conf; exec "$@"')
    yield replace(networked, argv=(*argv, "sh", *networked.argv))
    networked("destroy", "--force", "net")


@pytest.fixture
def lan() -> Iterator[tuple[Namespace, Namespace]]:
    """Have tests play a host, with a machine beside it that is its way out."""
    with world() as both:
        yield both


@pytest.fixture
def listeners(lan: tuple[Namespace, Namespace]) -> Iterator[list[socket.socket]]:
    """What listens on the host's loopback alone."""
    with contextlib.ExitStack() as stack:
        found = []
        for address in ("127.0.0.1", "::1"):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                one = stack.enter_context(socket.socket(family, kind))
                one.bind((address, PORT))
                one.setblocking(False)
                if kind == socket.SOCK_STREAM:
                    one.listen()
                found.append(one)
        yield found


def came(listeners: list[socket.socket]) -> list[str]:
    """Tell what has reached any of them."""
    found = []
    for one in listeners:
        with contextlib.suppress(BlockingIOError):
            if one.type == socket.SOCK_STREAM:
                connection, peer = one.accept()
                connection.close()
            else:
                _, peer = one.recvfrom(99)
            found.append(f"{one.type.name} of {one.getsockname()[0]} from {peer[0]}")
    return found


def ask(oven: Oven, *whom: str) -> list[str]:
    return text(oven("exec", "net", "--", "perl", "-e", ASK, *whom).stdout).splitlines()


def test_the_hosts_loopback_is_out_of_reach(
    user: Oven, lan: tuple[Namespace, Namespace], listeners: list[socket.socket]
) -> None:
    outside = lan[1]
    for address in ("198.51.100.2", "2001:db8::2"):
        outside.serve("outside", 7, address=address)
    user("run", "--name", "net", "debian-bookworm")
    everywhere = ("198.51.100.2", "2001:db8::2", "198.51.100.1", "127.0.0.1", "127.0.0.53", "::1",
                  "0.0.0.0")  # fmt: skip
    attempts = [f"{kind} {one} {PORT}" for kind in ("tcp", "udp") for one in everywhere]
    said = ask(user, *attempts)
    assert len(said) == len(attempts)
    assert [line for line in said if line.startswith("tcp") and "[" in line] == []
    assert came(listeners) == []

    user("exec", "net", "--", "sh", "-ec", AROUND)
    ask(user, *attempts)
    # All that was sent before has been handled once this is answered.
    said = ask(user, *(f"{kind} {one} 7" for kind in ("tcp", "udp") for one in everywhere[:2]))
    assert said == [
        "tcp 198.51.100.2: [outside 198.51.100.1]",
        "tcp 2001:db8::2: [outside 2001:db8::1]",
        "udp 198.51.100.2: [outside 198.51.100.1]",
        "udp 2001:db8::2: [outside 2001:db8::1]",
    ]
    assert came(listeners) == []


def test_names_are_asked_of_a_server_on_the_hosts_loopback(
    user: Oven, lan: tuple[Namespace, Namespace]
) -> None:
    lan[0].serve("names", 53, address="127.0.0.53")
    user("run", "--name", "net", "debian-bookworm")
    stated = text(user("exec", "net", "--", "cat", "/etc/resolv.conf").stdout)
    assert stated.splitlines()[1:-1] == ["nameserver 169.254.1.1"]
    assert ask(user, "udp 169.254.1.1 53")[0].startswith("udp 169.254.1.1: [names ")


def test_only_what_is_published_leads_inside(user: Oven, lan: tuple[Namespace, Namespace]) -> None:
    host, outside = lan
    published = ("-p", "18099:80", "-p", "18099:80/udp", "-p", "127.0.0.1:18098:80")
    user("run", "--name", "net", *published, "debian-bookworm")
    server = user.start("exec", "net", "--", "perl", "-e", SERVE)
    wait_for_line(server, "serving")
    for address in ("127.0.0.1", "::1"):
        assert host.ask("tcp", address, 18099) == "from inside"
    assert host.ask("tcp", "127.0.0.1", 18098) == "from inside"
    assert outside.ask("tcp", "198.51.100.1", 18098) == "ConnectionRefusedError"
    for kind in ("tcp", "udp"):
        for port in (80, 81):
            assert host.ask(kind, "127.0.0.1", port) == "ConnectionRefusedError"
    server.terminate()
    server.communicate(timeout=30)


@pytest.mark.parametrize("died", [0, -1])
def test_nothing_of_a_network_is_left_when_part_of_it_has_died(
    user: Oven, lan: tuple[Namespace, Namespace], died: int
) -> None:
    user("run", "--name", "net", "debian-bookworm")
    pids = (user.home / "run/containers/net/pasta.pid").read_text().split()
    subprocess.run(["kill", "-9", pids[died]], check=True)
    user("stop", "net")
