"""Rocky Linux."""

from builder.distros.rpm.declaration import MINIMUM, Declaration, Repository, Suite
from builder.distros.rpm.family import Rpm
from builder.model.recipe import Arch


class RockyLinux(Rpm):
    """Rocky Linux, which signs packages and metadata."""

    declaration = Declaration(
        name="rockylinux",
        title="Rocky Linux",
        mirror="https://dl.rockylinux.org/pub/rocky",
        machines=(Arch.AMD64, Arch.ARM64, Arch.PPC64EL, Arch.RISCV64, Arch.S390X),
        repositories=(
            Repository("baseos", "{suite}/BaseOS/{machine}/os"),
            Repository("appstream", "{suite}/AppStream/{machine}/os"),
            Repository("extras", "{suite}/extras/{machine}/os", component="extras"),
            Repository("crb", "{suite}/CRB/{machine}/os", component="crb"),
        ),
        # https://rockylinux.org/resources/gpg-key-info
        suites={
            "9": Suite(
                keys={"21CB256AE16FC54C6E652949702D426D350D275D": ("RPM-GPG-KEY-Rocky-9",)},
                database="/var/lib/rpm",
            ),
            "10": Suite(
                keys={"FC226859C0860BF0DDB95B085B106C736FEDFC85": ("RPM-GPG-KEY-Rocky-10",)}
            ),
        },
        minimum=(*MINIMUM, "rocky-release"),
        signed=True,
        module_platform="platform:el{suite}",
    )
