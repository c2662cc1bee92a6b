"""A container and a host for configurations of the OCI runtime."""

from builder.model.value import Digest
from builder.runtime.bundle.spec import HostFacts
from builder.runtime.record.container import Container

CONTAINER = Container(
    name="web", template=Digest("sha256:00"), template_name="web", uuid="0" * 32, first_id=589824,
    created=0, hostname="web",
)  # fmt: skip


HOST = HostFacts(rootfs="/r", cgroup="/c", unified=False, rlimits=(), machine="x86_64")
