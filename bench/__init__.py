"""The benchmark: measures its goals as ratios to baselines of the same run. See bench/README.md."""
