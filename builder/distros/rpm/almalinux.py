"""AlmaLinux."""

from builder.distros.rpm.declaration import MINIMUM, Declaration, Repository, Suite
from builder.distros.rpm.family import Rpm
from builder.model.recipe import Arch


class AlmaLinux(Rpm):
    """AlmaLinux, which signs packages and metadata."""

    declaration = Declaration(
        name="almalinux",
        title="AlmaLinux",
        mirror="https://repo.almalinux.org/almalinux",
        machines=(Arch.AMD64, Arch.ARM64, Arch.PPC64EL, Arch.S390X),
        repositories=(
            Repository("baseos", "{suite}/BaseOS/{machine}/os"),
            Repository("appstream", "{suite}/AppStream/{machine}/os"),
            Repository("extras", "{suite}/extras/{machine}/os", component="extras"),
            Repository("crb", "{suite}/CRB/{machine}/os", component="crb"),
        ),
        # https://almalinux.org/security/
        suites={
            "9": Suite(
                keys={"BF18AC2876178908D6E71267D36CB86CB86B3716": ("RPM-GPG-KEY-AlmaLinux-9",)},
                database="/var/lib/rpm",
            ),
            "10": Suite(
                keys={"EE6DB7B98F5BF5EDD9DA0DE5DEE5C11CC2A1E572": ("RPM-GPG-KEY-AlmaLinux-10",)}
            ),
        },
        minimum=(*MINIMUM, "almalinux-release"),
        signed=True,
        module_platform="platform:el{suite}",
    )
