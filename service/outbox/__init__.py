"""What is sent out, as rows first: events, mails and webhooks, and who is told what.

Others call

    events         `record`: a change of a subject becomes an event; `feed` and `read` for whoever polls
    notices        a function for each letter: who gets it, with which facts
    hearers        who hears of a hospital or a case, and who in their stead
    deliveries     `mail` and `put_link`: a mail as a row; `claim` and `settle` for the worker
    mail_server, mail_desk  whether the server is there, away, or all mail held back; what an operator does about mails
    offer_mails    whether the mails that bring offers have left, and what they say
    news           what is told at once beside its mail, by push and text message; `claim` and `settle` for the worker
    push_subscriptions  the devices that people are told on, and the key that signs
    attempt_counts  how many attempts ended how, for figures
    subscriptions, webhooks  partner systems' endpoints; `claim` and `settle` of lots, for the worker
"""
