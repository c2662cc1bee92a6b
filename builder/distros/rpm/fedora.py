"""Fedora Linux."""

from builder.distros.rpm.declaration import MINIMUM, Declaration, Repository, Suite
from builder.distros.rpm.family import Rpm
from builder.model.recipe import Arch

_METALINK = "https://mirrors.fedoraproject.org/metalink?repo={repo}&arch={{machine}}"


def _keys(suite: str, fingerprint: str) -> Suite:
    return Suite(keys={fingerprint: (f"RPM-GPG-KEY-fedora-{suite}-primary",)})


class Fedora(Rpm):
    """Fedora Linux, which signs its packages and vouches for its metadata by metalink."""

    declaration = Declaration(
        name="fedora",
        title="Fedora Linux",
        mirror="https://download.fedoraproject.org/pub/fedora/linux",
        machines=(Arch.AMD64, Arch.ARM64, Arch.PPC64EL, Arch.S390X),
        repositories=(
            Repository(
                "fedora",
                "releases/{suite}/Everything/{machine}/os",
                _METALINK.format(repo="fedora-{suite}"),
            ),
            Repository(
                "updates",
                "updates/{suite}/Everything/{machine}",
                _METALINK.format(repo="updates-released-f{suite}"),
            ),
        ),
        # https://fedoraproject.org/security/
        suites={
            "41": _keys("41", "466CF2D8B60BC3057AA9453ED0622462E99D6AD1"),
            "42": _keys("42", "B0F4950458F69E1150C6C5EDC8AC4916105EF944"),
            "43": _keys("43", "C6E7F081CF80E13146676E88829B606631645531"),
            "44": _keys("44", "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6"),
        },
        minimum=(*MINIMUM, "fedora-release-container"),
        signed=False,
        module_platform="platform:f{suite}",
    )
