"""What ss(8) lists, read."""

from builder.testing.ports import open_ports

LISTING = """\
udp UNCONN 0      0          0.0.0.0:53   0.0.0.0:* users:(("named",pid=9,fd=4))
udp UNCONN 0      0      127.0.0.1%lo:323  0.0.0.0:*
tcp LISTEN 0      511        0.0.0.0:80   0.0.0.0:* users:(("nginx",pid=40,fd=5),("x",pid=39))
tcp LISTEN 0      511           [::]:80      [::]:* users:(("nginx",pid=40,fd=6))
tcp LISTEN 0      4096     127.0.0.1:5432 0.0.0.0:* users:(("postgres",pid=7,fd=3))
tcp LISTEN 0      4096         [::1]:5432    [::]:*
tcp LISTEN 0      128              *:22         *:*
"""


def test_what_is_beyond_the_loopback_interface() -> None:
    found = open_ports(LISTING)
    assert found == {"53/udp": "named", "80/tcp": "nginx", "22/tcp": "the kernel"}
