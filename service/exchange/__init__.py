"""Files in and out.

Others call

    imports  `load`: a table is imported whole or not at all, by the rules of the verbs
    import_files  files sent over the API: `submit`, `own`, `load`, `found`; `claim`, `content`, `progress`, `settle`
                  for the worker
    exports  `rows` and `records`: everything but case text, as rows for files
    analysis  `lots`: sessions, activities and consultations for analysts, a lot at a time
"""
