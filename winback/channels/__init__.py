"""Where messages go: one file a vendor."""
