"""The sandbox that a build's programs run in, and what is told them of their machine."""
