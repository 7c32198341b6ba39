"""Pages for people: light, readable on a phone, whole without any script.

frame     who looks, in which language; errors as pages; the headers and the check against foreign forms
fields    what a form sent, read strictly, with faults beside the fields
words     the catalogues, and times as people say them
entrance  signing in and out, the first page
addresses what is done about a new address, by its former one or a keeper; addresses that take no mail
actions   the links in mails: a bare page, one button, the result
cases     a consultation and an offer, and what is done there
requests  filing a request
certificates  what a code on paper proves
operations  what runs, for admins
"""

from api.pages import actions, addresses, cases, certificates, entrance, operations, requests

ROUTERS = tuple(part.router for part in (entrance, addresses, actions, requests, cases, certificates, operations))
