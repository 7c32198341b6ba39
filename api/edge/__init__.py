"""What all handlers share: the request as bytes, the transaction, kinds of field, problems, the description."""
