"""People, their roles and hours; how they and partner systems prove who they are.

Others call

    people, languages  people with their roles: `create`, `change`, `verify`, `page`
    mentors           what mentors offer, their hours, their bookable times
    preferences       what people choose for themselves: the digest, whether their telephone is shown
    address_changes   an address that somebody else has set: `confirm`, and `decide` from the former one
    own_address       one that a person gives themself: `ask`, and `take` from the new one
    logins            sign-in links, tokens, signing keys; `caller` gives the actor of an access token
    browser_sessions, devices  the person of a page's cookie; where somebody is signed in
    kept_posts, unfinished_forms  forms that were sent after their visit had ended; of several steps, between them
    action_links, away_links  the person of a mail's link, and whether it was used
    clients, privacy  partner systems and their credentials; what is kept about one person, given out or erased
    demo_people       the people of the demo
"""
