"""Appliances on the command line: what they may be asked, and what was answered."""
