"""What was counted, and what the counts say."""
