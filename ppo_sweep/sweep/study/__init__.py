"""A study: Optuna proposes configurations, a trial is one of them under several seeds (docs/studies.md).

request       a command line's study, checked: all of the below that can be known before anything runs
options       ``sweep.*``: what a study may be told
definition, domains, space, space_checks, compositions   what is searched: from ``sweep.space`` and the command line to configurations
samplers, asking   which configuration is tried next: a function of the study's history and seed
rungs, pruners     where trials are compared, and which are stopped there
objective     what a trial is worth: a statistic of its seeds' scores
storage, identity, reading  the journal, and whether a directory holds this study or another
carrying_out, part  one process at work on a study, from its first trial to its last; what it has to itself there
claims        several processes: who has which trial
timeline, conduct, pieces   the order of events, what follows from each, and what a trial consists of
trials, comparing   the trials of all processes, and what they are compared by at a rung
search, record, stored_trials  the conductor's hands: workers that train what is due, and the storage
confirming, confirmation, intervals, improvement   who won by how much
best, trials_table, kept, progress   what the directory says of it: a config, a table, ``study.json``, and how far it is

Optuna is loaded by ``samplers``, ``asking``, ``storage`` and what carries a study out only, so that a typo need not wait for it.
"""
