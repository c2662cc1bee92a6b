"""Shared secrets: what two instances of one template have alike, and must not."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from builder.testing.container import Instance

# Inside, files are looked through that are no package's program: a secret is a private key, or a
# long random word in a file that not everybody may read.

_FOLDERS = ("etc", "home", "opt", "root", "srv", "usr/local", "var")
_LARGEST = "512"  # of find's blocks of 512 bytes
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+([^-]+)")
_WORD = re.compile(r"[A-Za-z0-9+/=_-]{16,}")
_PUBLIC = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*")
_HASH = re.compile(r"\$(?:y|gy|[1-7]|2[aby])\$\S+")
"""A password's hash, as crypt(5) writes it."""
_IDENTITY = ("etc/machine-id",)
_TELLING = ("*.pem", "*.key", "ssh_host_*", "*secret*", "*token*", "*passw*", "*credential*")
"""Names of files that are looked through whoever may read them."""
_LISTED = (
    f"find {' '.join(_FOLDERS)} -xdev -type f -size -{_LARGEST}"
    rf" \( ! -perm -004 {''.join(map(' -o -iname {!r}'.format, _TELLING))} \)"
    " ! -name '*.journal' ! -name '*.pub' ! -path 'var/lib/dpkg/*' -print0"
)
_KEYS = f"grep -rlIZ --exclude-dir=dpkg -e '-----BEGIN .*PRIVATE KEY' {' '.join(_FOLDERS)}"
_FIND = (
    f"cd / && {{ {_LISTED}; {_KEYS}; }} 2>/dev/null | sort -zu"
    " | xargs -0r grep -lIZ . | xargs -0r sh -c"  # of text alone
    """ 'for file; do printf "\\0%s\\0" "$file"; cat "$file"; done' sh || true"""
)


def shared(one: Instance, other: Instance) -> list[str]:
    """Name each secret that two instances have alike which nobody has given to both."""
    return [*shared_by_copies(one, other), *_shared_in_files(one, other)]


def shared_by_copies(one: Instance, other: Instance) -> list[str]:
    """Name what even a copy, which has the same data, has for itself alone."""
    found = [f"secret `{name}`" for name in _alike(one.secrets(), other.secrets())]
    found += [f"the identity in /{path}" for path in _IDENTITY if _text(one, path) ==
              _text(other, path) != ""]  # fmt: skip
    return found


def _shared_in_files(one: Instance, other: Instance) -> Iterator[str]:
    answered = {str(value) for value in one.answers.values()}
    first, second = _in_files(one), _in_files(other)
    for path in sorted(first.keys() & second.keys()):
        if common := (first[path] & second[path]) - answered:
            yield f"{len(common)} secret words in /{path}"


def _alike(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    return (name for name, value in one.items() if value and other.get(name) == value)


def _text(instance: Instance, path: str) -> str:
    return instance.attempt("cat", f"/{path}").stdout.decode(errors="replace")


def _in_files(instance: Instance) -> dict[str, set[str]]:
    _, *parts = instance.exec("sh", "-c", _FIND).split("\0")
    found = zip(parts[::2], parts[1::2], strict=True)
    return {path: {*words(text), *_KEY.findall(text), *_HASH.findall(text)} for path, text in found}


def words(text: str) -> set[str]:
    """Find words that look random: long, of small and large letters and digits, or hexadecimal.

    Certificates are for everybody, and those for the same names have lines alike.
    """
    return {word for word in _WORD.findall(_PUBLIC.sub("", text)) if _random(word)}


def _random(word: str) -> bool:
    if re.fullmatch(r"[0-9a-f]{32,}|[0-9A-F]{32,}", word):
        return True
    kinds = (str.isupper, str.islower, str.isdigit)
    # Paths and names of options have few changes between kinds of characters.
    return all(any(map(kind, word)) for kind in kinds) and _turns(word) >= len(word) / 3


def _turns(word: str) -> int:
    kinds = [(one.isupper(), one.isdigit()) for one in word]
    return sum(a != b for a, b in pairwise(kinds))
