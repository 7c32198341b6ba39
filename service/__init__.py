"""The domain: what Pobratym decides and remembers. It knows no HTTP, no mail format, no network.

An area imports only areas below it (the contract in `pyproject.toml` fails the build otherwise). What an area is for,
and what others may use of it, stands in its `__init__`.

    timers        what is due by the clock
    housekeeping  what ends: how long each table's rows are kept
    digests       what waits for somebody, by mail once a day
    worklists     what waits for whom, and what one page shows
    exchange      files in and out
    reporting     counts, reports, the rows behind them, journals, certificates
    care          a consultation from request to log
    registry      programmes, institutions, memoranda, what they bring, the chained log
    people        people, roles, hours; how they and partner systems prove who they are
    outbox        events, mails and webhooks as rows; who is told what
    kernel        time, errors, one transaction, who acts, who sees what
    tables        the whole schema
    rules         the functional core: same values in, same values out
    vocabulary    every code, once

`data/` holds the specialties, the published facts and the countries that case text may reach.
"""
