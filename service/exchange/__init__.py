"""Files in and out.

Others call

    imports  `load`: a table is imported whole or not at all, by the rules of the verbs
    exports  `rows` and `records`: everything but case text, as rows for files
"""
