"""`gate`: who may be asked. `score`: who is asked first. `ranking`: both, with times that can be proposed.

`waves`: whom to ask now, and until when, or to wait. `records`: what a choice was made of, written and read back.
`replay`: the choice made again, or by other numbers. `remedies`: what would help where nobody can be asked.
"""
