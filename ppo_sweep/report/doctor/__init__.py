"""The doctor: named symptoms of training, with evidence, the knob to turn and where that is known from (docs/doctor.md).

symptoms      one pure function per symptom
rules         the table of them: severity, meaning, knob, advice, source; a new symptom is one entry
thresholds    every number they judge by, with its provenance
record        what they see of a run or a group of seeds
facts         action bounds and time limit, from a run's files
evidence      what they hand back
examination   all rules on a whole results tree
text          the diagnosis for the terminal
documentation the tables of docs/doctor.md
calibration   precision and recall of every symptom on labelled runs
"""

from ppo_sweep.report.doctor.evidence import Evidence
from ppo_sweep.report.doctor.examination import Diagnosis, Finding, examine
from ppo_sweep.report.doctor.rules import RULES, SYMPTOMS, Rule
from ppo_sweep.report.doctor.thresholds import STANDARD, Thresholds

__all__ = ["RULES", "STANDARD", "SYMPTOMS", "Diagnosis", "Evidence", "Finding", "Rule", "Thresholds", "examine"]
