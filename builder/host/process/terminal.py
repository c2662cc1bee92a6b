"""The terminal that this command is on: given back as it was, and told when it has gone."""

import contextlib
import os
import select
import stat
from collections.abc import Iterator

from builder.host.process.guard import Settings
from builder.model.errors import RecipeError


def settings() -> Settings:
    """Give how the terminal is set; whoever runs in it may change that, and be killed."""
    import termios  # most commands do without

    try:
        return termios.tcgetattr(0)
    except termios.error:
        raise RecipeError(
            "there is no terminal to give to the command",
            hint="leave out `-t` where input comes from a pipe or a file",
        ) from None


@contextlib.contextmanager
def given_back(before: Settings | None) -> Iterator[None]:
    """Set the terminal as it was, at the end; one that has gone meanwhile is an OSError."""
    try:
        yield
    finally:
        if before is not None:
            import termios

            try:
                termios.tcsetattr(0, termios.TCSADRAIN, before)
            except termios.error as error:
                raise OSError(*error.args) from None


def has_gone() -> bool:
    """Tell whether a stream of ours was a terminal that hung up (tty_ioctl(4), poll(2))."""
    poll = select.poll()
    for fd in range(3):
        with contextlib.suppress(OSError):  # closed from the beginning
            if stat.S_ISCHR(os.fstat(fd).st_mode):
                poll.register(fd, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
