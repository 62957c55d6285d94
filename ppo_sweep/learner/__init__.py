"""The population learner (floor 1): P members trained by the same batched operations.

population    ``Population.iterate``: rollout → advantages → update, one outcome per member
rollout       T steps from every environment of every member
batch, advantages   one rollout as the update sees it; GAE and returns
update, kl_stop   K epochs of gradient steps; when a member stops early; compaction of those that did
minibatch     samples gathered, and the gradient of the whole loss on them
surrogates    the losses and their derivatives, one pure function each
gaussian      the policy's distribution
optimizer     Adam and gradient clipping on flat rows
layout, networks, backward    where parameters lie, the forward passes, and the way back through them
normalizers   running statistics of observations and returns
knobs         per-member hyperparameters as ``(P,)`` tensors
diagnostics   one metrics row per member and iteration
policy, state what leaves the population: a policy to act with, a state to continue from
"""
