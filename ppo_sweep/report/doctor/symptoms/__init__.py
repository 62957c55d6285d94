"""One function per symptom: ``(record, thresholds) -> Evidence | None``; which of them exist, and what to do, stands in ``doctor/rules``.

policy     how the policy's distribution develops
update     what the K epochs of an iteration do to policy and critic
learning   what comes of it: critic, return, budget
seeds      a group of runs that differ in their seed
"""
