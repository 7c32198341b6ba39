"""Webhooks as they are signed and posted."""
