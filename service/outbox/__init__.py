"""What is sent out, as rows first: events, mails and webhooks, and who is told what.

Others call

    events         `record`: a change of a subject becomes an event; `feed` and `read` for whoever polls
    notices        a function for each letter: who gets it, with which facts
    hearers        who hears of a hospital or a case, and who in their stead
    deliveries     `mail` and `put_link`: a mail as a row; `claim` and `settle` for the worker
    mail_server    whether the mail server is there, away, or all mail held back
    mail_desk      what an operator does about mails
    offer_mails    whether the mails that bring offers have left, and what they say
    attempt_counts  how many attempts ended how, for figures
    subscriptions  the webhook endpoints of partner systems
    webhooks       `claim` and `settle` of lots, for the worker
"""
