"""What leaves the building, as rows first: events, mails and webhooks, and who is told what."""
