"""`counts`: what was counted. `figures`: what the counts say. `journal_columns`: what a journal shows."""
