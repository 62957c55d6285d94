"""A study: Optuna proposes configurations, a trial is one of them under several seeds (docs/studies.md).

request       a command line's study, checked: all of the below that can be known before anything runs
options       ``sweep.*``: what a study may be told
definition, domains, space, space_checks, compositions   what is searched: from ``sweep.space`` and the command line to configurations
samplers, asking   which configuration is tried next: a function of the study's history and seed
rungs, pruners     where trials are compared, and which are stopped there
objective     what a trial is worth: a statistic of its seeds' scores
storage, identity  the journal, and whether a directory holds this study or another
carrying_out  a study from its lock to ``best.yaml``
timeline, conduct, pieces   the order of events, what follows from each, and what a trial consists of
search, record  the conductor's hands: workers that train what is due, and the storage
confirmation, intervals, best, trials_table   who won by how much, as numbers, as a config, as a table

Optuna is loaded by ``samplers``, ``asking``, ``storage`` and what carries a study out only, so that a typo need not wait for it.
"""
