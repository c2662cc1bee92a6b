"""What arrives of a download, piece by piece, and no slower than a mirror may be."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

# A limit for each wait alone lets a mirror that sends a byte now and then hold a build for years.

PIECE = 1 << 16

WINDOW, LEAST = 60.0, 6000
"""In so many seconds so many bytes have to come: a tenth of what a telephone carries."""


class SlowError(Exception):
    """A mirror sends next to nothing."""


def pieces(response: "requests.Response") -> Iterator[bytes]:
    """Give what comes as soon as it is there; raises SlowError, or what urllib3 raises."""
    # A short answer is noticed by its length; as an error it would cost what came last.
    response.raw.enforce_content_length = False
    since, came = time.monotonic(), 0
    # Not `read`, which waits until a whole piece is together.
    while piece := response.raw.read1(PIECE, decode_content=False):
        came += len(piece)
        if (now := time.monotonic()) - since > WINDOW:
            if came < LEAST:
                raise SlowError
            since, came = now, 0
        yield piece
