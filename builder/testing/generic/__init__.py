"""Tests of every appliance, against real instances."""
