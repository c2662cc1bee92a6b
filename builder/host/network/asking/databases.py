"""Databases and directories: the few bytes after which each of them shows that it is up."""

import struct

from builder.host.network.asking.stream import Stream, WrongAnswerError, shown, unlike
from builder.model.health import HealthProbe

_ANSWER = 1 << 16
"""Bytes of one answer."""


def pg(stream: Stream, _: HealthProbe, __: str) -> None:
    """Say who one is; to be asked for a password or to be refused is an answer, too.

    See "Message Formats" in the manual of PostgreSQL.
    """
    words = struct.pack("!I", 196608) + b"user\0oven\0database\0postgres\0\0"
    stream.send(struct.pack("!I", len(words) + 4) + words)
    kind = stream.exactly(1)
    length = struct.unpack("!I", stream.exactly(4))[0]
    if kind not in {b"R", b"E"} or not 4 < length <= _ANSWER:
        raise unlike("PostgreSQL", kind)
    fields = stream.exactly(length - 4).split(b"\0")
    said = {one[:1]: one[1:] for one in fields}
    # 57: it starts or ends; 53: it lacks what it needs; XX: it is broken (Appendix A).
    if kind == b"E" and said.get(b"C", b"")[:2] in {b"53", b"57", b"58", b"XX"}:
        raise WrongAnswerError(f"refuses everybody: {shown(said.get(b'M', b''))}")


def mysql(stream: Stream, _: HealthProbe, __: str) -> None:
    """Be greeted with its version (protocol::handshakeV10)."""
    length = int.from_bytes(stream.exactly(4)[:3], "little")
    if not 3 < length <= _ANSWER:
        raise WrongAnswerError("does not answer as MySQL does")
    greeting = stream.exactly(length)
    if greeting[0] == 0xFF:
        raise WrongAnswerError(f"refuses everybody: {shown(greeting[3:])}")
    if greeting[0] != 10:
        raise unlike("MySQL", greeting)


def redis(stream: Stream, _: HealthProbe, __: str) -> None:
    """Ping it; one that wants a password first is up as well."""
    stream.send(b"PING\r\n")
    answer = stream.line()
    if not answer.startswith((b"+PONG", b"-NOAUTH", b"-NOPERM")):
        raise WrongAnswerError(f"answers {shown(answer)}" if answer else "answers nothing")


def ldap(stream: Stream, _: HealthProbe, __: str) -> None:
    """Bind as nobody; to be refused that is an answer, too (RFC 4511)."""
    stream.send(bytes.fromhex("300c020101600702010304008000"))
    head = stream.exactly(2)
    length = head[1]
    if length & 0x80:
        length = int.from_bytes(stream.exactly(min(length & 0x7F, 4)), "big")
    if head[0] != 0x30 or not 7 <= length <= _ANSWER:
        raise unlike("LDAP", head)
    body = stream.exactly(length)
    where = body.find(b"\x0a\x01", 3)
    if body[:4] != b"\x02\x01\x01\x61" or not 0 < where < length - 2:
        raise unlike("LDAP", body)
    if (code := body[where + 2]) in {51, 52, 53, 80}:  # busy, unavailable, unwilling, other
        raise WrongAnswerError(f"refuses everybody: LDAP's result {code}")
