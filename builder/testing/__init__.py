"""Tests of appliances: pytest with instances, a client and a network that belong to one run."""
