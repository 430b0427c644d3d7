"""What `./do bench` measures: one file a case, ratios within one run."""
