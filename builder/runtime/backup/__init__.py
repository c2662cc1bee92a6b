"""Backups of instances: made, listed, restored, tried and pruned through restic."""
