"""Debian and its kin: apt chooses, dpkg installs."""
