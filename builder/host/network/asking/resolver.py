"""Name servers: asked one question, of which they must know the answer."""

import secrets
import socket
import struct

from builder.host.network.asking.stream import WrongAnswerError
from builder.model.health import HealthProbe, port_of

_TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
}
_REFUSALS = {
    1: "finds the question wrong",
    2: "fails to find out",
    4: "cannot do that",
    5: "refuses",
}


def ask(probe: HealthProbe, host: str) -> None:
    """Ask it by UDP (RFC 1035, section 4)."""
    number = secrets.randbits(16)
    question = _name(probe.query) + struct.pack("!HH", _TYPES[probe.record], 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.connect((host, port_of(probe)))
        asked.send(struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + question)
        answer = asked.recv(4096)
        while answer[:2] != number.to_bytes(2, "big"):  # somebody else's, or made up
            answer = asked.recv(4096)
    if len(answer) < 12 or not answer[2] & 0x80:
        raise WrongAnswerError("does not answer as DNS does")
    if (code := answer[3] & 0x0F) == 3:
        raise WrongAnswerError(f"does not know `{probe.query}`")
    if code:
        raise WrongAnswerError(_REFUSALS.get(code, f"answers with the code {code}"))
    if not int.from_bytes(answer[6:8], "big"):
        raise WrongAnswerError(f"knows no {probe.record} of `{probe.query}`")


def _name(text: str) -> bytes:
    labels = [label.encode("ascii", "replace") for label in text.strip(".").split(".") if label]
    if any(len(label) > 63 for label in labels) or sum(map(len, labels)) > 200:
        raise WrongAnswerError(f"cannot be asked for `{text}`, which is no name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
