"""The domain: what Pobratym decides and remembers. It knows no HTTP, no mail format, no network.

Top to bottom, in the order in which modules may import each other (downward only; the contract in `pyproject.toml`
fails the build otherwise, and when a module has no place). Those on one line do not know each other.

    sweep                what is due by the clock          facts             the published registry
    imports              files taken in, all or nothing
    demo_people          who is there in the demo
    certificates         who took part, and a code that proves it
    exports              everything in rows for files      privacy           one person: all of it, or nothing
    reports              figures of a period               activities        what else a memorandum brings
    journal              what was logged, as a hospital keeps it   overview   what one page for people shows
    pieces               a programme's past, counted once
    evidence             the rows behind the figures
    tallies              the counts that reports are made of
    consultations        filed, consented, withdrawn       advice            the written answer
    sessions             what happened, logged and corrected
    appointments         move, call off, no-show, join
    answers              accept, decline, counter          by_hand           one mentor is asked, a time is held
    offers               whom to ask, in waves; what lapses
    admission            the gate, asked inside the transaction of each step
    candidates           rows -> the plain values that the rules read
    mentors              profile, hours, bookable slots
    bookings             the steps that seat people        memorandum_log    the hash chain of each memorandum
    memoranda            their life and parties            upkeep            reminders, budgets, idle ones
    routes               which memoranda link two places   roster           mentors as rankings read them
    people               people, roles, verification       registry          programmes, institutions, specialties
    links                one person, one act, once         visits            a browser that is signed in
    webhooks             sent in lots, settled, judged     clients           partner systems, what they prove
    subscriptions        the endpoints of partners
    logins               sign-in links, refresh tokens, signing keys
    notices              who is told what
    deliveries           mails as rows: recorded, claimed, settled
    events               the catalogue; recorded with the change
    idempotency          answers to repeat                 limits            how often somebody may call
    deidentification     text that may name a patient      paging            lists, a page at a time
    access               the only way from an id to a row
    audit                who read or did what
    work                 one transaction, one instant, one actor: the only commit
    queue                jobs in a transaction             fanout            its webhooks, a row each
    tables               the whole schema, by area
    crypto               case text at rest, tokens in links
    outcomes             what became of a hand-over: values, not exceptions
    actor                who is acting, with which roles
    errors               everything that can go wrong, by name
    clock                the only reading of time, chance and ids
    rules                the functional core: same values in, same values out

`data/` holds the specialties, the published facts and the countries that case text may reach.
"""
