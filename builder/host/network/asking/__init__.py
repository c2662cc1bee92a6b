"""Asking servers whether they work, in the protocol of each; nothing that they say is trusted."""
