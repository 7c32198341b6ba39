"""Programmes, institutions, memoranda and what each memorandum brings; the chained log."""
