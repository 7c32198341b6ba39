"""Mail: its words, its bytes, the hand-over to a server."""
