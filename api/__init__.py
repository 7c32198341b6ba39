"""The HTTP edge: one file a resource, shapes on top, handlers of a dozen lines below.

A handler checks nothing that a verb of `service` could check, and writes no SQL. What every request has in common is
in `raw` (bytes and headers), `transactional` (one transaction a request), `deps` (who calls, paging, versions),
`shapes` (kinds of field) and `problems` (errors as documents); `app` puts them together.
"""

VERSION = "0.2.0"
