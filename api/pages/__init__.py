"""Pages for people: light, readable on a phone, whole without any script; one only makes quicker what a form does.

frame     who looks, in which language; errors as pages; the headers and the check against foreign forms
fields    what a form sent, read strictly, with faults beside the fields
words     the catalogues, and times as people say them
assets    stylesheet, scripts and icon
sections  what stands at the top of each page, by role
preferences  the language
kept      what was sent after the visit had ended
installed  what a device keeps of us: manifest, service worker, the page without a line
problem_pages  problems at addresses that are no pages
entrance  signing in and out, the first page
addresses what is done about a new address, by its former one or a keeper; addresses that take no mail
own_address  the link that makes another address one's own
digests   the link that switches off the mail about what waits
actions   the links in mails: a bare page, one button, the result
cases     a consultation and an offer, and what is done there
live      the stream by which an open page hears of changes
requests, wishes  filing a request in three steps; what its form says
remedies  what would help a request that nobody can take
own_consultations  all consultations of one's side, and the way to one by its number
counters  other times for an offer, picked on a week of both sides
hours     a mentor's week, absences and limits
away      the link of each mail to a mentor by which they are away
profile   what everybody keeps about themself
mine      a mentor's consultations, and their certificates
certificates  what a code on paper proves
operations  what runs, for admins
policies  the numbers of a programme, for its admins: tried first, then saved
"""

from api.pages import (
    actions,
    addresses,
    assets,
    away,
    cases,
    certificates,
    counters,
    digests,
    entrance,
    hours,
    installed,
    kept,
    live,
    mine,
    operations,
    own_address,
    own_consultations,
    policies,
    preferences,
    problem_pages,
    profile,
    requests,
)

problem_page = problem_pages.page
_PARTS = (
    assets, installed, entrance, kept, preferences, addresses, own_address, away, digests, actions, requests,
    own_consultations, cases, counters, live, hours, mine, profile, certificates, operations, policies,
)  # fmt: skip
ROUTERS = tuple(part.router for part in _PARTS)
