"""Running a part of a test in a namespace of its own, as root or as an ordinary user."""

import contextlib
import ctypes
import importlib
import os
import pickle
import pkgutil
import pwd
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import builder
from builder.host.kernel.namespaces import enter_namespace

Result = TypeVar("Result")

_PR_SET_DUMPABLE = 4


def in_namespace(work: Callable[[], Result], *, user: str = "root") -> Result:
    """Call a function in a child that has entered a namespace; what it raises is raised here."""
    return in_child(lambda: (enter_namespace(), work())[1], user=user)


def in_child(work: Callable[[], Result], *, user: str = "root") -> Result:
    """Call a function in a child process that runs as a user.

    The user may be unable to read root's Python, so that all of Oven is imported before.
    """
    answer, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _run(work, user, tell)
    os.close(tell)
    with open(answer, "rb") as file:  # noqa: PTH123  # a descriptor
        told = file.read()
    os.waitpid(child, 0)
    assert told, "the child died"
    good, value, trace = pickle.loads(told)
    if good:
        return value  # type: ignore[no-any-return]  # pickle knows no types
    assert isinstance(value, BaseException), trace
    raise value


def _run(work: Callable[[], object], user: str, tell: int) -> None:
    told = b""
    try:
        if user != "root":
            _import_all()
            _become(user)
        told = pickle.dumps((True, work(), ""))
    except BaseException as error:  # noqa: BLE001  # it is raised in the parent
        told = pickle.dumps((False, error, traceback.format_exc()))
    finally:
        with open(tell, "wb") as file:  # a descriptor
            file.write(told)
        os._exit(0)


def _import_all() -> None:
    """Import what work may still want to load, before it cannot."""
    for module in pkgutil.walk_packages(builder.__path__, "builder."):
        if not module.name.endswith(("__main__", ".headers", ".reasons")):  # programs
            importlib.import_module(module.name)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chdir("/")
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    # A process that changed its user is nobody's in /proc until it says otherwise, and newuidmap
    # looks there (prctl(2)).
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


@contextlib.contextmanager
def ordinary_user(name: str, *, subids: bool = True) -> Iterator[str]:
    """Make a user for the time being, with or without subordinate ids.

    The name ends so that it is nobody's, even where a killed test has left one.
    """
    name = f"{name}-{os.urandom(3).hex()}"
    options = [] if subids else ["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"]
    subprocess.run(["useradd", "--no-create-home", *options, name], check=True)
    try:
        yield name
    finally:
        # By force: a process that has ended counts until the first one of this machine reaps it.
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


@contextlib.contextmanager
def folder_of(user: str) -> Iterator[Path]:
    """Lend a folder that a user may write to."""
    folder = Path(tempfile.mkdtemp(prefix="oven-test-"))
    try:
        shutil.chown(folder, user)
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)
