"""Appliances: what an instance is asked, what its templates see, and what it keeps secret."""
