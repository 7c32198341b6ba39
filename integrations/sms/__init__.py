"""Text messages to telephones, by a gateway that the operator names."""
