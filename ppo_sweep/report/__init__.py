"""From a results tree to figures, tables and one page (floor 4; torch is loaded only where a random policy or a score must be computed).

frame         any results tree, also one still running → ``Results``: tidy frames, configurations, notes
groups        runs that differ in their seed only; the group that the others are compared with
scores        what each group is worth, and what separates it from the reference
leaders       which setting has the highest mean, and how sure that is, in words
normalised    the same across environments: normalised scores, probability of improvement over the reference
curves        a group's runs on a common grid: mean, band, where they end
environments  statistics across environments: IQM, profiles, probability of improvement, ranks
survival      steps to a threshold, censored
tables        ``tables/{scores,differences,runs}.{csv,md,tex}``
figures       one module per figure
style, numbers   colours, lines and sizes of every figure; numbers as text
doctor        the diagnosis: what ails a run, with evidence
study         what a page says of an Optuna study
page          all of it on one page

places, configurations, csv_files, knobs, random_scores   where runs are, what they were asked to be, their tables, which knobs were
                           swept, and what the random policy has where no configuration says so
errors                     what can keep a report from being made
"""

from ppo_sweep.report.errors import ReportError
from ppo_sweep.report.frame import Results, episodes, evaluations, load

__all__ = ["ReportError", "Results", "episodes", "evaluations", "load"]
