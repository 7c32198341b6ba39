"""Calendar objects (RFC 5545)."""
