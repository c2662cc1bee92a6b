"""The templates of this machine, and how they come and go as files."""
