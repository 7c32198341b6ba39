"""What every area stands on: time, errors, one transaction, who acts, who sees what."""
