"""Web Push: notices for browsers, encrypted for the one device that they go to."""
