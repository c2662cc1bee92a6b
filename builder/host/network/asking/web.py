"""Web servers: asked for one page, which must come with the right status and text."""

from http.client import HTTPConnection, HTTPException

from builder.host.network.asking.stream import Stream, WrongAnswerError
from builder.model.health import HealthProbe, port_of

_PAGE = 1 << 20
"""Bytes of a page that are looked at."""


def ask(stream: Stream, probe: HealthProbe, host: str) -> None:
    """Ask for the page; redirections are not followed."""
    connection = HTTPConnection(host, port_of(probe))
    connection.sock = stream.socket
    headers = {"User-Agent": "oven-health", "Connection": "close"}
    if probe.names:
        headers["Host"] = probe.names[0]
    try:
        connection.request("GET", probe.path or "/", headers=headers)
        answer = connection.getresponse()
        page = answer.read(_PAGE) if probe.contains else b""
    except (HTTPException, ValueError) as error:
        raise WrongAnswerError(f"does not answer as HTTP does: {type(error).__name__}") from None
    if probe.status and answer.status != probe.status:
        raise WrongAnswerError(f"answers with the status {answer.status}, not {probe.status}")
    if not probe.status and not 200 <= answer.status < 400:
        raise WrongAnswerError(f"answers with the status {answer.status}")
    if probe.contains.encode() not in page:
        raise WrongAnswerError(f"answers with a page without `{probe.contains}`")
