"""What the log shows: counts, reports and the rows behind them, journals, certificates."""
