"""What every area stands on: time, errors, one transaction, who acts, who sees what.

Others call

    work              `Database.work` and `run`: one transaction; `Work`, which every verb takes first
    errors, database_errors  what can go wrong, by name; what each SQLSTATE means
    access, actor, visibility  who acts, the only way from an id to a row, and who sees which rows
    audit             `record`: who read or did what
    deidentification  `check`: free text before it is stored
    email_addresses   `normal_form`: the one check of an address
    installation      whether the database was restored: then nothing leaves; the epochs of its events
    clock, database_clock, crypto  time, random bytes, ids; the time that all processes share; sealed texts
    paging, partitions       a page of a list; tables of which each month is a part
    idempotency, limits, recent_changes, changes  of requests, for `api.edge` and readers of a replica; for open pages
    fanout, queue, outcomes, processes  of deliveries, and of who works at them, for the worker and the adapters
"""
