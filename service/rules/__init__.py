"""The functional core: it decides, and does nothing else. The same values in give the same values out.

    case, lifecycle  the plain values of a consultation; the states, and what may follow what
    policy           the programme's numbers, by priority
    matching/        who may consult whom, who is asked first, at which times
    time/            hours in zones, free time, intervals, published days
    figures/         what was counted, and what it says
    deidentify/      what in a text could name a patient
    delivery/        when a delivery is tried again, when a receiver is left alone
    specialties, transfer     how near two specialties are; to which countries case text may go
    specialty_search, case_numbers  what people mean who type a word for a specialty, or the number of a case
    text_language             in which language a text seems to be
    chain                     the log's hashes
    csv_tables                tables as text that no spreadsheet runs

Standard library only. No clock, no randomness, no files, no log: callers pass `now` and everything else.
"""
