"""Processes of this machine: started, guarded, watched and ended."""
