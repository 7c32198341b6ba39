"""The benchmark: measures the goals of performance as ratios to baselines of the same run. See README.md."""
