"""One run on disk (floor 2): what is written, how it survives, and the loop that trains it.

trainer       the loop: population on one side, run directories on the other; ``train``
evaluation    whole episodes of a policy beside training
score         what a run is worth, from its own files
policy        ``load_policy``
interrupts    Ctrl-C, SIGTERM, SIGHUP
screen, progress   what a terminal shows of a run
loggers       TensorBoard and W&B beside the tables
study_file    ``study.json``, of all runs of a study
filming, watching   a policy on film
naming        study and run names from overrides

directory     ``RunDirectory``: everything below, for one run and one writer
places        which paths are ours
lock          one writer per run
stored_config, status, log, tables, tensors, checkpoint   one kind of file each
versions      what a run was made with
durable, strict_json, fault_points   bytes that survive, and where a test may kill
errors        what can go wrong, in words
"""
