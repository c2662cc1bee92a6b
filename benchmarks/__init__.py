"""Whole commands measured side by side with those of peers, as ratios within one run."""
