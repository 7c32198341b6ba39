"""`gate`: who may be asked. `score`: who is asked first. `ranking`: both, with the times that can be proposed."""
