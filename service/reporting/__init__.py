"""What the log shows.

Others call

    reports       `memorandum`, `programme` and `institution`: the figures of a period; `rows` behind one of them
    journal       every session and advice of an institution, one row each
    certificates  of attendance, and the page that confirms one
    recorded_choices  `load`: choices of mentors with all that they were made of, for rehearsals
    rehearsals    `submit`, `read`, `page`, `latest`; `claim`, `go_on`, `put_back`, `settle` for the worker
    rehearsal_tally  `Tally`: what the choices come to, exactly and one step on
    rollups       `fold`: the past is counted once, for the sweep
"""
