"""The allocation lab: a made-up year that is decided by the product's own rules, under rival models of behaviour.

It knows `service.rules` and the vocabulary and nothing else: no database, no clock, no chance but `draws`. Same
arguments, same bytes. What it can show and what it cannot: docs/allocation.md.
"""
