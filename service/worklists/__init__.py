"""What waits for whom, and what one page shows. It reads only.

Others call

    waiting, first_page  what waits for a person, until when, where it is done; that, and what they have
    own_consultations    all that a side filed, the newest first
    page_views, timelines  the values of one page: `case`, `offer_page`; a case in its order
    filing_choices, filed_requests  what a request can be made of; what it has come to
    link_views      what a link in a mail stands for now
    policy_views    a programme's numbers, and rehearsals of others
    address_cards   whose address takes no mail, or waits to be confirmed
    mentor_hours    a mentor's week, what an absence lies over, what a week would offer
    mentor_consultations  what a mentor took on, with what became of each
    counter_week    when both sides are free, to pick other times from
    own_profile     what somebody keeps about themself
"""
