"""What comes over the network: downloads, links and ports of this machine."""
