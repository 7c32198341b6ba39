"""`gate`: who may be asked. `score`: who is asked first. `ranking`: both, with times that can be proposed.

`waves`: whom to ask now, and until when, or to wait.
"""
