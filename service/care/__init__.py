"""A consultation from request to log: who is asked, what is agreed, what happened."""
