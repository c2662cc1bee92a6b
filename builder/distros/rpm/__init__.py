"""The RPM family: distributions whose packages dnf chooses and rpm installs."""
