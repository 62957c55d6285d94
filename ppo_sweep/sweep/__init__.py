"""Many runs (floor 3): what a command line asks for, and carrying it out on all cores (docs/architecture.md).

preparation     from a command line to what is left to do
command_line    the check: every job, or every fault
arguments, overrides, composition, draft, options   what it reads: dashes, words, ``conf/``, one job, ``hydra.launcher``
job             one run that is asked for: configuration and place
directories, results_root   what is on disk already
help, wording   what is said

session         what Hydra calls, and the exit code of it all
hydra_jobs      Hydra's side of a sweep: job overrides in, ``JobReturn`` out
launch          the sweep: who trains what, until all have ended
ledger          where every run of it stands, and which of them may have killed a worker
queue           which waiting run goes to which worker
crew            its workers: started, watched, replaced
pool, worker, lifeline, messages   worker processes from outside and from inside, and what the two say
board, short_names, closing   the screen of a sweep, and what it says at its end
errors          what can go wrong with a sweep as a whole

overview, overview_text   a study at any time, and its words; ``scripts/status.py``
fsck            is every byte where it should be; ``scripts/fsck.py``
fsck_run, fsck_study, fsck_tables, fsck_repairs   one run checked, a study, its tables, and what mends them
study/          Optuna studies: a trial is several seeds
"""
