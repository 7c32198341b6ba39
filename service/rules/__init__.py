"""The functional core: it decides, and does nothing else. The same values in give the same values out.

    intervals, cells    time as pairs of instants, and as bits of five minutes
    availability        weekly hours in a zone -> free time, bookable starts; the only module that expands zones
    policy              the programme's numbers, by priority; until when an answer is awaited
    specialties         how near two specialties are
    transfer            to which countries case text may go
    case                the plain values that the next three read
    gate                who may consult whom, with every rule that refuses
    score, matching     who is asked first, and at which times
    lifecycle           the states, and what may follow what
    retry, receiver     when a failed delivery is tried again; when a receiver is left alone
    deidentify          what in a free text could name a patient
    chain               the log's hashes

Standard library only. No clock, no randomness, no files, no log: the callers pass `now` and everything else.
"""
