"""Files in and out: tables taken in whole or not at all, and everything in rows for files."""
