"""Tokens and keys: who somebody is, and how they prove it."""
