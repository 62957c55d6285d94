"""From a results tree to figures, tables and one page (floor 4; never imports torch by itself).

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
style         colours, lines and sizes of every figure

places, configurations, csv_files, knobs   where runs are, what they were asked to be, their tables, which knobs were swept
errors                     what can keep a report from being made
"""

from ppo_sweep.report.errors import ReportError
from ppo_sweep.report.frame import Results, episodes, evaluations, load

__all__ = ["ReportError", "Results", "episodes", "evaluations", "load"]
