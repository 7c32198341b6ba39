"""The outside world: adapters that hold no domain rules and are never called inside a transaction."""
