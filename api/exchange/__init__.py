"""Files in and out, for the commands and the API alike: what their tables hold, and how people are told."""
