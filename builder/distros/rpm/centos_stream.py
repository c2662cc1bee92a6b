"""CentOS Stream."""

from builder.distros.rpm.declaration import MINIMUM, Declaration, Repository, Suite
from builder.distros.rpm.family import Rpm
from builder.model.recipe import Arch

_METALINK = "https://mirrors.centos.org/metalink?repo={repo}&arch={{machine}}&protocol=https"
# https://www.centos.org/keys/
_OFFICIAL = "99DB70FAE1D7CE227FB6488205B555B38483C65D"


def _repository(name: str, component: str) -> Repository:
    folder = "{suite}-stream/" + name + "/{machine}/os"
    metalink = _METALINK.format(repo=f"centos-{name.lower()}-{{suite}}-stream")
    return Repository(name.lower(), folder, metalink, component)


class CentosStream(Rpm):
    """CentOS Stream, which signs its packages and vouches for its metadata by metalink."""

    declaration = Declaration(
        name="centos-stream",
        title="CentOS Stream",
        mirror="https://mirror.stream.centos.org",
        machines=(Arch.AMD64, Arch.ARM64, Arch.PPC64EL, Arch.S390X),
        repositories=(
            _repository("BaseOS", "main"),
            _repository("AppStream", "main"),
            _repository("CRB", "crb"),
        ),
        suites={
            "9": Suite(
                keys={_OFFICIAL: ("RPM-GPG-KEY-CentOS-Official", "RPM-GPG-KEY-centosofficial")},
                database="/var/lib/rpm",
            ),
            # The same key; its signature of itself is a newer one.
            "10": Suite(
                keys={
                    _OFFICIAL: (
                        "RPM-GPG-KEY-CentOS-Official-SHA256",
                        "RPM-GPG-KEY-centosofficial-SHA256",
                    )
                }
            ),
        },
        minimum=(*MINIMUM, "centos-stream-release"),
        signed=False,
        module_platform="platform:el{suite}",
    )
