"""The API: one file a resource, shapes on top, handlers of a dozen lines below."""
