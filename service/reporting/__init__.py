"""What the log shows.

Others call

    reports       `memorandum`, `programme` and `institution`: the figures of a period; `rows` behind one of them
    journal       every session and advice of an institution, one row each
    certificates  of attendance, and the page that confirms one
    recorded_choices  `load`: choices of mentors with all that they were made of, for rehearsals
    rollups       `fold`: the past is counted once, for the sweep
"""
