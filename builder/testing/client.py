"""The client: a container on the instances' network that asks them as anybody would."""

from dataclasses import dataclass
from email.message import Message
from email.parser import Parser

from builder.testing.container import Container

RECIPE = "test-client"
"""The shipped recipe that it is made from; it has curl, openssl and dig."""


@dataclass(frozen=True)
class Page:
    """What a web server answers."""

    status: int
    headers: Message
    """By name, large and small letters being the same."""
    text: str


@dataclass
class Client(Container):
    """A container with what one asks servers with."""

    def get(self, url: str, *options: str) -> Page:
        """Ask a web server by curl(1); redirections are not followed.

        A test fails where there is no answer; `options` are curl's.
        """
        __tracebackhide__ = True
        words = ("--silent", "--show-error", "--include", "--max-time", "20", *options)
        said = self.exec("curl", *words, url)
        head, _, text = said.replace("\r\n", "\n").partition("\n\n")
        while head.startswith("HTTP/") and head.split()[1].startswith("1"):
            head, _, text = text.partition("\n\n")  # an interim answer, as 100 is
        first, _, lines = head.partition("\n")
        return Page(int(first.split()[1]), Parser().parsestr(lines), text)
