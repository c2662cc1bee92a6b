"""overlayfs: layers mounted as one tree, read without a mount, and folded into one of their own."""
