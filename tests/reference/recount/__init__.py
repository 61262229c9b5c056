"""A second implementation of the report: from captures to every cell, without the store.

`rules` reads the rule files, `packets` the captures, `clock` says what counts in which interval,
`counts` adds up, `places` reads geo files, `figures` makes the tables, `events` judges series, `compare` holds both reports
against each other.
"""
