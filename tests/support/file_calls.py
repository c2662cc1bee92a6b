"""Finds where code reaches files by a path or a descriptor of its own, and not through a tree."""

import ast
from collections.abc import Iterator
from pathlib import Path

_OS = """
access chmod chown getxattr lchown link listdir listxattr lstat makedirs mkdir mkfifo mknod open
readlink remove removexattr rename replace rmdir scandir setxattr stat statvfs symlink truncate
unlink utime walk fwalk
"""
_OS_PATH = "exists getsize isdir isfile islink lexists realpath samefile"
_PATH = """
chmod exists glob group hardlink_to is_dir is_file is_mount is_symlink iterdir lchmod lstat mkdir
open owner read_bytes read_text readlink rename resolve rglob rmdir samefile stat symlink_to touch
unlink write_bytes write_text
"""
_CALLS = {
    "os": frozenset(_OS.split()),
    "os.path": frozenset(_OS_PATH.split()),
    "": frozenset(_PATH.split()),
}
_AUDITED = frozenset({"TreeIO", "Project", "Accounts", "RecipeAccounts", "CopyManner", "Disk"})
"""Classes whose methods are called like those of a path; they are the way in, or no files."""


def calls(source: str) -> Iterator[tuple[int, str]]:
    """Give the line and the name of each call, such as `os.open`, `open` or `.read_bytes`."""
    tree = ast.parse(source)
    safe = frozenset(_safe(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _name(node.func, safe)):
            yield node.lineno, name


def calls_of(path: Path) -> Iterator[tuple[int, str]]:
    """Give the same of a file."""
    return calls(path.read_text())


def _name(called: ast.expr, safe: frozenset[str]) -> str | None:
    if isinstance(called, ast.Name):
        return "open" if called.id == "open" else None
    if not isinstance(called, ast.Attribute):
        return None
    whose = ast.unparse(called.value)
    if whose == "shutil":
        return f"shutil.{called.attr}"
    module = whose if whose in _CALLS else ""
    if called.attr not in _CALLS[module] or whose in safe:
        return None
    return f"{module}.{called.attr}"


def _safe(tree: ast.Module) -> Iterator[str]:
    """Name what is annotated as, or made by, one of the audited classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            if _words(node.annotation) & _AUDITED:
                yield node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
        elif isinstance(node, ast.Assign) and _words(node.value) & _AUDITED:
            yield from map(ast.unparse, node.targets)
        elif isinstance(node, ast.withitem) and _words(node.context_expr) & _AUDITED:
            yield ast.unparse(node.optional_vars or node.context_expr)


def _words(node: ast.AST) -> set[str]:
    """Name what an expression is about; annotations may be texts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
