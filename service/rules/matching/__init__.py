"""Who may be asked, who is asked first, and for which times."""
