"""What a template's own dnf is told of repositories that recipes have added."""

from builder.distros import TemplateRepository
from builder.distros.openpgp import armored


def added_sources(added: TemplateRepository) -> dict[str, bytes]:
    """Write a repository as dnf.conf(5) has it, and its key as rpm takes it."""
    one = added.repository
    key = f"etc/pki/rpm-gpg/RPM-GPG-KEY-{one.name}"
    lines = [
        f"[{one.name}]",
        f"name={one.name}",
        f"baseurl={one.url}",
        "enabled=1",
        "gpgcheck=1",
        "repo_gpgcheck=1",
        f"gpgkey=file:///{key}",
    ]
    if one.priority is not None:
        lines.append(f"priority={one.priority}")
    text = "\n".join((*lines, ""))
    return {f"etc/yum.repos.d/{one.name}.repo": text.encode(), key: armored(added.keys)}
