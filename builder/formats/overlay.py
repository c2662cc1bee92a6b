"""Overlays: the recipe's own files, rendered and put into a tree."""

import difflib
import hashlib
import itertools
import os
import posixpath
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Literal

import msgspec

from builder.formats.project import Project, unreadable
from builder.host.files import disk_errors
from builder.host.treeio import TREES_FAULT, TreeIO
from builder.model.errors import OvenError, RecipeError, Span
from builder.model.value import Value
from builder.store import Store
from builder.store.damage import checked_blob

# `overlay/etc/motd.j2` becomes `/etc/motd`. The folder is read once, before the build: its bytes go
# into the store as blobs and its listing into the stage's inputs, so that the stage can use nothing
# that its key does not name. Files are root's, 0755 when executable and 0644 otherwise, because git
# keeps no more than that; folders that the tree has already stay as they are.

SUFFIX = ".j2"
TEMPLATE_LIMIT = 1 << 20
FOLDER = "overlay"

Kind = Literal["file", "template", "symlink", "dir"]


class OverlayEntry(Value, frozen=True, kw_only=True):
    """One file, link or folder of an overlay."""

    path: str
    """Where it goes, relative to the tree's root."""
    kind: Kind
    mode: int
    content: str
    """A file's or template's sha256, a link's target, nothing for a folder."""

    @property
    def source(self) -> Path:
        """The file that a person wrote, relative to the recipe's folder."""
        return Path(FOLDER, self.path + (SUFFIX if self.kind == "template" else ""))


class Variables(Value, frozen=True, kw_only=True):
    """All that a template may see."""

    parameters: dict[str, str | int | bool]
    template: dict[str, str]
    """`name` and `summary`."""
    base: dict[str, str]
    """`distro`, `suite` and `arch`."""

    def names(self) -> list[str]:
        """Give every name as a template writes it."""
        groups: Mapping[str, Mapping[str, object]] = {
            "parameters": self.parameters,
            "template": self.template,
            "base": self.base,
        }
        return [f"{group}.{name}" for group, values in groups.items() for name in sorted(values)]


# Reading


def read_overlay(folder: Path, store: Store, project: Project) -> tuple[OverlayEntry, ...]:
    """List an overlay folder, sorted by path, keeping its files' bytes in the store.

    A folder that is not there is an empty overlay. Anything in it that cannot be told from its
    listing, or that would leave the tree, is a RecipeError.
    """
    if not project.exists(folder):
        return ()
    if not project.is_folder(folder):
        raise RecipeError("an overlay is a folder, not a file", at=folder)
    with store.draft() as draft, errors_below(folder.parent), project.tree(folder) as tree:
        found = [_entry(tree, *one, store, draft) for one in _listing(tree)]
    found.sort(key=lambda entry: entry.path)
    _refuse_collisions(found)
    return tuple(found)


@contextmanager
def errors_below(folder: Path) -> Iterator[None]:
    """Have errors about an overlay's files name them below the recipe's folder.

    Entries carry relative paths, so that a build in another folder has the same key.
    """
    try:
        yield
    except OvenError as error:
        if error.at is not None and not error.at.path.is_absolute():
            error.at = msgspec.structs.replace(error.at, path=folder / error.at.path)
        raise


def keep_file(fd: int, store: Store, draft: Path) -> str:
    """Copy an open file of the author's into the store and give its sha256."""
    copy = draft / "copy"
    with (
        open(fd, "rb", closefd=False) as source,  # opened by descriptor
        disk_errors(draft),
        copy.open("wb") as to,
    ):
        shutil.copyfileobj(source, to)
    with copy.open("rb") as data:
        sha256 = hashlib.file_digest(data, "sha256").hexdigest()
    if store.blob(sha256) is None:
        store.keep_blob(copy, sha256)
    return sha256


def _listing(tree: TreeIO) -> Iterator[tuple[str, os.stat_result]]:
    try:
        yield from tree.walk()
    except OSError as error:
        raise unreadable(Path(FOLDER, error.filename or ""), error) from error


def _entry(
    tree: TreeIO, path: str, status: os.stat_result, store: Store, draft: Path
) -> OverlayEntry:
    source = Path(FOLDER, path)
    _refuse_name(path, source)
    if stat.S_ISDIR(status.st_mode):
        return OverlayEntry(path=path, kind="dir", mode=0o755, content="")
    if stat.S_ISLNK(status.st_mode):
        target = tree.readlink(path)
        _refuse_escape(path, target, source)
        return OverlayEntry(path=path, kind="symlink", mode=0o777, content=target)
    if not stat.S_ISREG(status.st_mode):
        raise RecipeError(
            "an overlay holds files, folders and symbolic links, nothing else",
            at=source,
            hint="make it at the first start instead, by a tmpfiles.d(5) line",
        )
    kind: Kind = "template" if path.endswith(SUFFIX) else "file"
    try:
        with tree.opened(path) as fd:
            content = keep_file(fd, store, draft)
    except OSError as error:
        raise unreadable(source, error) from error
    return OverlayEntry(
        path=path.removesuffix(SUFFIX),
        kind=kind,
        mode=0o755 if status.st_mode & 0o100 else 0o644,
        content=content,
    )


def _refuse_name(path: str, source: Path) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise RecipeError("a file's name must be UTF-8 text", at=source.parent) from error
    if posixpath.basename(path) == SUFFIX:
        raise RecipeError(f"nothing is left of the name without `{SUFFIX}`", at=source)


def _refuse_escape(path: str, target: str, source: Path) -> None:
    above = posixpath.dirname(path)
    if target.startswith("/"):
        relative = posixpath.relpath(target, f"/{above}")
        raise RecipeError(
            f"the link points to the absolute path `{target}`",
            at=source,
            hint=f"write it relative to the link's own folder: `ln -s {relative}`",
        )
    depth = len(above.split("/")) if above else 0
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            raise RecipeError(
                f"the link's target `{target}` climbs out of the overlay",
                at=source,
                hint="use a relative link that stays below the overlay's top",
            )


def _refuse_collisions(entries: list[OverlayEntry]) -> None:
    for one, other in itertools.pairwise(entries):
        if one.path == other.path:
            raise RecipeError(
                f"`{one.source.name}` and `{other.source.name}` both become `/{one.path}`",
                at=one.source,
                hint="remove one of them",
            )


# Rendering


def renderer_version(entries: tuple[OverlayEntry, ...]) -> str:
    """Name what renders templates with its version; nothing when there is no template."""
    if not any(entry.kind == "template" for entry in entries):
        return ""
    from importlib.metadata import version  # slow to import, and seldom needed

    return f"jinja2 {version('jinja2')}"


def render_overlay(
    entries: tuple[OverlayEntry, ...], variables: Variables, store: Store
) -> dict[str, bytes]:
    """Render every template of an overlay, by target path."""
    return {
        entry.path: render(
            (_blob(store, entry)).read_bytes(), variables=variables, source=entry.source
        )
        for entry in entries
        if entry.kind == "template"
    }


def render(text: bytes, *, variables: Variables, source: Path) -> bytes:
    """Render one template; `source` is the file that errors name.

    It runs in a sandbox without a loader: it can read no file, call nothing unsafe and change
    nothing, and a name that does not exist is an error.
    """
    # Imported here: only a build that has templates needs it, and it is slow to load.
    from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(text) > TEMPLATE_LIMIT:
        raise RecipeError(f"a template is at most {TEMPLATE_LIMIT} bytes", at=source)
    try:
        written = text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise RecipeError("a template must be UTF-8 text", at=Span(source, line)) from error
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True
    )
    # Attributes, not dictionary items: `parameters.items` must be the parameter of that name.
    seen = {
        "parameters": SimpleNamespace(**variables.parameters),
        "template": SimpleNamespace(**variables.template),
        "base": SimpleNamespace(**variables.base),
    }
    try:
        code: CodeType = environment.compile(written, str(source), str(source))
        return Template.from_code(environment, code, {}).render(seen).encode()
    except TemplateSyntaxError as error:
        problem = (error.message or "syntax error").rstrip(".")
        at = _span(source, written, error.lineno, None)
        raise RecipeError(_lower(problem), at=at) from error
    # A template is a program: apart from Jinja2's own errors it can divide by zero and the like.
    except (
        TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError,
        ValueError,
    ) as error:  # fmt: skip
        raise _failed(error, source, written, variables) from error


def _failed(error: Exception, source: Path, written: str, variables: Variables) -> RecipeError:
    from jinja2 import UndefinedError

    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(source):
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, UndefinedError):
        name = (re.findall(r"'([^']*)'", str(error)) or [""])[-1]
        return RecipeError(
            f"`{name}` is not defined",
            at=_span(source, written, line, name),
            hint=_nearest(name, variables),
        )
    problem = _lower(str(error).rstrip(".")) or type(error).__name__
    if "no loader" in problem:
        problem = "a template cannot read other files"
    return RecipeError(problem, at=_span(source, written, line, None))


def _nearest(name: str, variables: Variables) -> str:
    names = variables.names()
    last = {known.rpartition(".")[2]: known for known in reversed(names)}
    if close := difflib.get_close_matches(name, last, n=1):
        return f"did you mean `{last[close[0]]}`?"
    return "a template sees " + ", ".join(f"`{known}`" for known in names)


def _span(source: Path, written: str, line: int | None, name: str | None) -> Span:
    lines = written.splitlines()
    if line is None or not 1 <= line <= len(lines):
        return Span(source, line)
    text = lines[line - 1]
    if name and (found := re.search(rf"\b{re.escape(name)}\b", text)):
        return Span(source, line, found.start() + 1, len(name), text)
    start = max(text.find("{{"), text.find("{%"), 0)
    return Span(source, line, start + 1, max(len(text.rstrip()) - start, 1), text)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


# Applying


def apply_overlay(
    tree: TreeIO,
    entries: tuple[OverlayEntry, ...],
    rendered: Mapping[str, bytes],
    store: Store,
) -> None:
    """Put an overlay into a tree; `rendered` holds what its templates came to."""
    for entry in entries:
        try:
            if entry.kind == "dir":
                tree.mkdir(entry.path, entry.mode)
            elif entry.kind == "symlink":
                tree.symlink(entry.path, entry.content)
            else:
                data = rendered.get(entry.path)
                data = _blob(store, entry).read_bytes() if data is None else data
                tree.write_bytes(entry.path, data, entry.mode)
        except OSError as error:
            if error.errno not in TREES_FAULT:
                raise
            raise RecipeError(
                f"cannot put `/{entry.path}` into the tree: {_lower(error.strerror or str(error))}",
                at=entry.source,
                hint="the base or a package has something of another kind in its way",
            ) from error


def _blob(store: Store, entry: OverlayEntry) -> Path:
    blob = checked_blob(store, entry.content)
    if blob is None:
        raise RecipeError(
            "the overlay's file is no longer in the store",
            at=entry.source,
            hint="run the same command again",
        )
    return blob
