"""Pumps: they carry bytes between our own streams and the pipes that a command has for them."""

import _thread
import contextlib
import os
import select
from collections.abc import Callable
from typing import Self

# A command in a container never has streams of ours. One may be a terminal, into which it could
# type (ioctl_tty(2), TIOCSTI), or a file of the host, which it could empty. And what a command
# leaves running keeps its streams open, so it is the end of the command that ends the pumping: what
# has been written by then is carried on, and nobody waits for more.

# The threads are plain ones: the module `threading` takes longer to import than this to work.

_BLOCK = 1 << 16


class Pumps:
    """Pipes for a command, and the threads that fill and empty them; used in a `with` block."""

    def __init__(self, owner: tuple[int, int]) -> None:
        """Make the pipes; `owner` is the user and group that may open them anew, as `/dev/stderr`.

        Where our stdout and stderr are one, the command has one pipe, which keeps their order.
        """
        self._work: list[_thread.LockType] = []
        """One for each thread, which holds it until it has ended."""
        self._errors: list[OSError] = []
        self._over, self._end = os.pipe()
        stdin, self._in = os.pipe()
        out, stdout = os.pipe()
        self._outs = [(out, 1)]
        stderr = stdout
        if not os.path.sameopenfile(1, 2):
            out, stderr = os.pipe()
            self._outs.append((out, 2))
        self.streams = (stdin, stdout, stderr)
        """What becomes stdin, stdout and stderr of the command."""
        for fd in {*self.streams}:
            os.fchown(fd, *owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if not self._work:
            for fd in (self._over, self._in, *self.streams, *(out for out, _ in self._outs)):
                with contextlib.suppress(OSError):  # one is there twice
                    os.close(fd)

    def start(self) -> None:
        """Begin, once the command has its ends; signals have to be blocked, as threads inherit."""
        for fd in {*self.streams}:
            os.close(fd)
        self._run(self._feed)
        for out, to in self._outs:
            self._run(self._drain, out, to)

    def finish(self) -> None:
        """Carry on what the command has written, which has ended; OSError when that went wrong."""
        self._stop()
        for done in self._work:
            done.acquire()
        if self._errors:
            raise self._errors[0]

    def _stop(self) -> None:
        end, self._end = self._end, -1
        if end >= 0:
            os.close(end)

    def _run(self, work: Callable[..., None], *arguments: int) -> None:
        done = _thread.allocate_lock()
        done.acquire()
        self._work.append(done)

        def pump() -> None:
            try:
                work(*arguments)
            finally:
                done.release()

        _thread.start_new_thread(pump, ())

    def _feed(self) -> None:
        os.set_blocking(self._in, False)
        reading, writing = select.poll(), select.poll()
        for poll in (reading, writing):
            poll.register(self._over, 0)  # POLLHUP alone
        reading.register(0, select.POLLIN)
        reading.register(self._in, 0)  # POLLERR: nobody reads there
        writing.register(self._in, select.POLLOUT)
        with contextlib.suppress(OSError):  # it has gone, or there is nothing to read here
            while {fd for fd, _ in reading.poll()} == {0}:
                left = memoryview(os.read(0, _BLOCK))
                if not left:
                    break
                while left and {fd for fd, _ in writing.poll()} == {self._in}:
                    left = left[os.write(self._in, left) :]
        os.close(self._in)

    def _drain(self, out: int, to: int) -> None:
        poll = select.poll()
        poll.register(out, select.POLLIN)
        poll.register(self._over, 0)
        try:
            while self._over not in {fd for fd, _ in poll.poll()}:
                if not (data := os.read(out, _BLOCK)):
                    return
                _write(to, data)
            left = _held(out)
            while left > 0 and (data := os.read(out, min(left, _BLOCK))):
                left -= len(data)
                _write(to, data)
        except BrokenPipeError:
            pass  # as the command itself is told by the end that is closed here
        except OSError as error:
            self._errors.append(error)
        finally:
            os.close(out)


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _held(pipe: int) -> int:
    """Tell how many bytes a pipe holds (pipe(7)); who still writes there adds to them for ever."""
    import fcntl
    import termios

    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), "little")
