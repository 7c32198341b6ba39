"""What waits for whom, and what one page shows. It reads only."""
