"""Zones, intervals and published days."""
