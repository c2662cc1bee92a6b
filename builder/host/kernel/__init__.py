"""What the kernel is asked for directly: mounts, namespaces, cgroups and their kin."""
