"""Which paths dpkg's filters leave out, as dpkg itself decides it."""

import pytest

from builder.distros.debian.filters import configuration, filters, skips
from builder.model.extras import ALL, Extras

LEAN = filters(Extras(documentation=False, languages=("de",)))
SPOKEN = filters(Extras(languages=("de", "sr@latin")))


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/usr/share/doc/bash/README.gz", False),
        ("/usr/share/doc/bash/copyright", True),
        ("/usr/share/man/man1/bash.1.gz", False),
        ("/usr/share/man/de/man1/bash.1.gz", False),
        ("/usr/share/info/dir", False),
        ("/usr/share/locale/de/LC_MESSAGES/bash.mo", True),
        ("/usr/share/locale/de_AT/LC_MESSAGES/bash.mo", True),
        ("/usr/share/locale/den/LC_MESSAGES/bash.mo", False),
        ("/usr/share/locale/locale.alias", True),
        ("/usr/share/zoneinfo/Europe/Berlin", True),
        ("/usr/lib/locale/C.utf8/LC_CTYPE", True),
    ],
)
def test_a_file_comes_along_or_not(path: str, *, there: bool) -> None:
    assert skips(LEAN, path, whole=True) is not there
    assert not skips(filters(ALL), path, whole=True)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/usr/share/man/man1/bash.1.gz", True),
        ("/usr/share/man/de/man1/bash.1.gz", True),
        ("/usr/share/man/de.UTF-8/man1/bash.1.gz", True),
        ("/usr/share/man/fr/man1/bash.1.gz", False),
        ("/usr/share/doc/bash/README.gz", True),
        ("/usr/share/help/C/app/index.page", True),
        ("/usr/share/help/fr/app/index.page", False),
        ("/usr/share/locale/sr@latin/LC_MESSAGES/bash.mo", True),
        ("/usr/share/locale/sr/LC_MESSAGES/bash.mo", False),
    ],
)
def test_manuals_of_languages(path: str, *, there: bool) -> None:
    assert skips(SPOKEN, path, whole=True) is not there


def test_folders_stay_where_something_in_them_may() -> None:
    assert not skips(LEAN, "/usr/share/doc/bash", whole=False)
    assert not skips(LEAN, "/usr/share/locale/de/LC_MESSAGES", whole=False)
    assert skips(LEAN, "/usr/share/locale/fr", whole=False)
    # Packages make links there themselves, and fail when it is missing.
    assert not skips(LEAN, "/usr/share/man/man1", whole=False)
    assert skips(LEAN, "/usr/share/man/man1/sh.1.gz", whole=False)


def test_dpkg_is_told_in_its_own_words() -> None:
    lines = configuration(LEAN).splitlines()
    assert "path-exclude=/usr/share/doc/*" in lines
    assert lines.index("path-include=/usr/share/doc/*/copyright") > lines.index(
        "path-exclude=/usr/share/doc/*"
    )
    assert filters(ALL) == ()
