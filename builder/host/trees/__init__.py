"""Folders of files that may be anybody's, each reached without being led out of it."""
