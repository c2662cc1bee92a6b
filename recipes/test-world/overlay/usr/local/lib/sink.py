#!/usr/bin/python3
"""A mail server that keeps whatever it is given: NUMBER.eml, and its envelope in NUMBER.json."""

import asyncio
import itertools
import json
import os
import socket
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

FOLDER = Path("/var/lib/sink")
CERTIFICATE = ("/run/certificate/cert.pem", "/run/certificate/key.pem")
PLAIN, SECURE = (25, 587), (465,)
MOST = 64 << 20


class Keep:
    """What is done with mail."""

    def __init__(self):
        known = [int(path.stem) for path in FOLDER.glob("*.eml")]
        self.numbers = itertools.count(max(known, default=0) + 1)

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  # aiosmtpd's way
        """Keep a mail, and say that it is kept."""
        secured = server.transport.get_extra_info("ssl_object")
        told = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "helo": session.host_name,
            "peer": session.peer[0].removeprefix("::ffff:"),
            "tls": secured.version() if secured else None,
            "user": session.auth_data,
        }
        name = FOLDER / f"{next(self.numbers):06}"
        name.with_suffix(".json").write_text(json.dumps(told, indent=1))
        # Whoever sees this one finds both.
        draft = name.with_suffix(".new")
        draft.write_bytes(envelope.original_content)
        draft.rename(name.with_suffix(".eml"))
        sys.stderr.write(f"{name.name}: {envelope.mail_from} -> {', '.join(envelope.rcpt_tos)}\n")
        return f"250 2.0.0 kept as {name.name}"


def anybody(*session):
    """Believe whoever says who he is."""
    *_, given = session
    return AuthResult(success=True, auth_data=given.login.decode(errors="replace"))


async def serve():
    """Listen until the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*CERTIFICATE)
    keep = Keep()

    def talk(*, secure):
        return SMTP(
            keep,
            hostname="sink.test",
            data_size_limit=MOST,
            enable_SMTPUTF8=True,
            tls_context=None if secure else context,
            authenticator=anybody,
            auth_require_tls=False,
        )

    loop = asyncio.get_running_loop()
    for port in PLAIN:
        await loop.create_server(lambda: talk(secure=False), ["0.0.0.0", "::"], port)
    for port in SECURE:
        await loop.create_server(lambda: talk(secure=True), ["0.0.0.0", "::"], port, ssl=context)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    await asyncio.Event().wait()


asyncio.run(serve())
