"""A consultation from request to log: who is asked, what is agreed, what happened.

Others call

    consultations  `request`, `consent`, `cancel`, `assign`; who can answer; what one page or one answer shows
    widening, unmatched  what would help a request that nobody can take, and doing it; a preview; the mails about it
    filing, mentor_cache  for whom and for which hospital a request is filed; mentors in memory after a start
    promises, offers  what is told at filing, and how that fared; waves, and what becomes of an unanswered offer
    manual_offers  a coordinator chooses a mentor, or holds a time
    answers        a mentor accepts, declines or counters; the other side takes a counter or declines it
    appointments, beginnings  moved, called off, missed, reminded of; who is told that a call begins
    departures, unlinked  what was with somebody who may no longer act; what a memorandum no longer reaches
    uncoordinated, readdressing  a hospital whose last coordinator has left; calendars follow a new address
    advice, decisions  written answers; which rules this program chooses mentors by
    sessions       what took place is logged and corrected; "was it useful?"
"""
