"""Mail servers: greeted as clients of SMTP, LMTP and IMAP do it."""

from builder.host.network.asking import certificates
from builder.host.network.asking.stream import Stream, WrongAnswerError, shown, unlike
from builder.model.health import HealthProbe

_WORDS = {"smtp": (b"EHLO", "SMTP"), "lmtp": (b"LHLO", "LMTP")}


def smtp(stream: Stream, probe: HealthProbe, _: str) -> None:
    """Be greeted, and say hello; LMTP has another word for that (RFC 2033)."""
    hello, protocol = _WORDS[probe.kind]
    _reply(stream, b"220", protocol)
    stream.send(hello + b" localhost\r\n")
    _reply(stream, b"250", protocol)
    if probe.starttls:
        stream.send(b"STARTTLS\r\n")
        _reply(stream, b"220", protocol)
        _go_over(stream, probe)
    stream.send(b"QUIT\r\n")


def imap(stream: Stream, probe: HealthProbe, _: str) -> None:
    """Be greeted, and do nothing."""
    greeting = stream.line()
    if not greeting.startswith((b"* OK", b"* PREAUTH")):
        raise unlike("IMAP", greeting)
    if probe.starttls:
        _command(stream, b"a", b"STARTTLS")
        _go_over(stream, probe)
    _command(stream, b"b", b"NOOP")
    stream.send(b"c LOGOUT\r\n")


def _reply(stream: Stream, code: bytes, protocol: str) -> None:
    line = stream.line()
    if not line[:3].isdigit():
        raise unlike(protocol, line)
    if line[3:4] == b"-":
        line = stream.lines(line[:3])[-1]
    if not line.startswith(code):
        raise WrongAnswerError(f"answers {shown(line)}")


def _command(stream: Stream, tag: bytes, words: bytes) -> None:
    stream.send(tag + b" " + words + b"\r\n")
    answer = stream.lines(tag)[-1]
    if not answer.startswith(tag + b" OK"):
        raise WrongAnswerError(f"answers {shown(answer)}")


def _go_over(stream: Stream, probe: HealthProbe) -> None:
    name = probe.names[0] if probe.names else ""
    certificates.check(stream.over_tls(name), probe.names, probe.days)
