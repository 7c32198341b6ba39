"""Programmes, institutions, memoranda, what each memorandum brings, and its chained log.

Others call

    programmes       programmes and specialties
    specialty_finder  `find`: which specialties somebody may mean who types a word
    institutions     institutions, and who belongs to which network
    memoranda        `create`, `change` and `transition` of a memorandum; `expire` for the sweep
    agreements       `agreed`: which memoranda link two institutions, with the minutes left; `lock_budget`
    activities       what a memorandum brings besides consultations: `log`, `correct`
    memorandum_log   `append`: an entry of a chain; `entries`, `verification`, `anchors` for its readers
    memorandum_reminders  before an end or a spent budget, for the sweep; `idle` memoranda
    restores         `status` and `release` of a restored database, for the operator
    published_facts  `load`, for the first start and the demo
"""
