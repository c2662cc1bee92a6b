"""The sink: a mail server that takes mail for anybody, and what it was given."""

import io
import tarfile
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec

from builder.testing.container import PATIENCE, Container, eventually
from builder.testing.verbs import UnexpectedError, expected

HOST = "sink.test"
_FOLDER = "/var/lib/sink"
_PACK = 'cd "$0" && ls | grep -v new$ | tar --create --files-from -'


class Envelope(msgspec.Struct, frozen=True):
    """How a mail came."""

    sender: str
    """Empty for what must not be answered."""
    recipients: tuple[str, ...]
    helo: str
    """What the client called itself."""
    peer: str
    """Its address."""
    tls: str | None
    """Such as `TLSv1.3`; None where it came in the clear."""
    user: str | None
    """Who the client said it was; any password is taken."""


@dataclass(frozen=True)
class Mail:
    """A mail that has come."""

    envelope: Envelope
    message: EmailMessage
    data: bytes
    """All of it as it came, but for the dots that SMTP doubles."""


@dataclass(frozen=True)
class Sink:
    """Listens at port 25 and 587, with STARTTLS for who wants it, and at 465, with TLS at once.

    Where mail for a domain shall come here, its MX is `10 sink.test`.
    """

    server: Container

    def mails(self, to: str | None = None) -> list[Mail]:
        """Give what has come, oldest first; or only what is for one address."""
        __tracebackhide__ = True
        done = self.server.attempt("sh", "-c", _PACK, _FOLDER)
        expected(done, "reading the sink")
        found = _read(done.stdout)
        return [one for one in found if to is None or to in one.envelope.recipients]

    def arrived(self, to: str, patience: float = PATIENCE) -> Mail:
        """Wait for mail for an address, at most so many seconds; give the newest."""
        __tracebackhide__ = True
        found: list[Mail] = []

        def has_come() -> bool:
            found[:] = self.mails(to)
            return bool(found)

        if not eventually(has_come, patience):
            others = sorted({for_ for one in self.mails() for for_ in one.envelope.recipients})
            problem = f"no mail for {to} has come within {patience:.0f} s, but for {others}"
            raise UnexpectedError(problem)
        return found[-1]


def _read(archive: bytes) -> list[Mail]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {one.name: file.read() for one in tar if (file := tar.extractfile(one))}
    return [
        Mail(
            msgspec.json.decode(files[name.replace(".eml", ".json")], type=Envelope),
            message_from_bytes(data, policy=policy.default),
            data,
        )
        for name, data in sorted(files.items())
        if name.endswith(".eml")
    ]
