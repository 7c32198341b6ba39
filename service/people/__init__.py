"""People, their roles and hours; how they and partner systems prove who they are.

Others call

    people            people with their roles: `create`, `change`, `verify`, `page`
    mentors           what mentors offer, their hours, their bookable times
    logins            sign-in links, tokens, signing keys; `caller` is who is behind an access token
    browser_sessions  who is behind the cookie of the pages
    action_links      who is behind a link of a mail, and that it was used
    clients           partner systems and their credentials
    privacy           `dossier` and `erase`: what is kept about one person
    demo_people       the people of the demo
"""
