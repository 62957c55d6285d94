# Two commands from a bare checkout: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 2

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
STUDY ?= $(error say which study: make $(firstword $(MAKECMDGOALS)) STUDY=results/NAME)
RUN   ?= $(error say which run: make $(firstword $(MAKECMDGOALS)) RUN=results/STUDY/NAME/seed=0)

# The pictures of README and docs. A quick try that leaves both alone:
#   make gallery RESULTS=/tmp/try PICTURES=/tmp/try OVERRIDES=total_steps=8192 STEPS=8192
RESULTS   ?= results
PICTURES  ?= docs
OVERRIDES ?=
STEPS     ?= 300000

# Versions of Hydra and Optuna beside the pinned ones that must work, and the tests that can tell.
MATRIX        := oldest newest
MATRIX_oldest := 'hydra-core==1.3.8' 'optuna==4.9.*'
MATRIX_newest := 'hydra-core>=1.4.0rc3,<1.5' 'optuna==5.0.*'
MATRIX_TESTS  := tests/conf/test_composition.py $(addprefix tests/sweep/test_,bad_input.py command_line.py hydra_jobs.py wording.py) tests/test_packaging.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lint types tests test-slow test-matrix docs format bench status fsck report dashboard doctor doctor-runs article gallery results recipe-changes eval watch clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv and install everything into it (the others do it by themselves)

# torch first and by itself: whichever build of it pip's own settings point to (see README) is the one that stays.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PPO Sweep needs Python 3.11 or newer, and %s is %s; try make PYTHON=python3.12" % (sys.executable, sys.version.split()[0]))'
	@echo "Installing into $(VENV); the first time takes a few minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## a small real sweep, its table and a report
	$(BIN)/python train.py -m env=pendulum study=demo algo.max_kl=null,0.01 seed=0,1,2 total_steps=100000
	$(BIN)/python scripts/report.py results/demo
	@echo
	@echo "Six runs of Pendulum, without and with a KL stop, side by side on all cores. Open results/demo/report/index.html;"
	@echo "three seeds show how settings differ, seldom which is better. Each run has a row per iteration in its metrics.csv."
	@echo "Next, try  $(BIN)/python train.py -m env=hopper algo.max_kl=0.02,0.07 seed=0,1,2"

test: lint types tests  ## lint, types and tests: all that must pass before a commit

lint: $(STAMP)  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

tests: $(STAMP)  ## the tests alone
	$(BIN)/python -m pytest -n $(WORKERS) tests

test-slow: $(STAMP)  ## kills, chaos and long runs
	$(BIN)/python -m pytest -n $(WORKERS) -m slow tests

test-matrix: $(MATRIX:%=.venv-matrix/%/.installed)  ## config and command line under other versions of Hydra and Optuna
	@set -e; for name in $(MATRIX); do \
		.venv-matrix/$$name/bin/python -c 'from importlib.metadata import version as v; print("hydra-core", v("hydra-core"), "with optuna", v("optuna"))'; \
		.venv-matrix/$$name/bin/python -m pytest -n $(WORKERS) $(MATRIX_TESTS); \
	done

# Such an environment holds what differs and borrows the rest from $(VENV), which takes seconds.
.venv-matrix/%/.installed: $(STAMP)
	rm -rf $(@D)
	$(BIN)/python -m venv $(@D)
	@borrowed=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
		own=$$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
		echo "import site; site.addsitedir('$$borrowed')" > "$$own/borrowed.pth"
	$(@D)/bin/python -m pip install --quiet $(MATRIX_$*)
	@touch $@

docs: $(STAMP)  ## write the pages that are made from the code (docs/knobs.md, docs/doctor.md)
	$(BIN)/python scripts/pages.py

format: $(STAMP)  ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## how fast it is on this machine, part by part
	$(BIN)/python scripts/bench.py

status: $(STAMP)  ## where a study stands: make status STUDY=results/hopper
	$(BIN)/python scripts/status.py '$(STUDY)'

fsck: $(STAMP)  ## check a study's files and mend what can be: make fsck STUDY=results/hopper
	$(BIN)/python scripts/fsck.py '$(STUDY)'

report: $(STAMP)  ## figures, tables and a page: make report STUDY=results/hopper (the newest without STUDY)
	$(BIN)/python scripts/report.py $(if $(filter command line environment,$(origin STUDY)),'$(STUDY)')

dashboard: $(STAMP)  ## look at an Optuna study in a browser: make dashboard STUDY=results/hopper-tpe
	@test -x $(BIN)/optuna-dashboard || { echo "optuna-dashboard is not installed; install it with $(BIN)/python -m pip install -e '.[dashboard]'" >&2; exit 2; }
	@test -f '$(STUDY)/optuna.log' || { echo "$(STUDY) has no optuna.log; give a study's directory, or, of a study in a database, run $(BIN)/optuna-dashboard URL" >&2; exit 2; }
	$(BIN)/optuna-dashboard '$(STUDY)/optuna.log' $(if $(PORT),--port '$(PORT)')

doctor: $(STAMP)  ## what ails the runs of a study: make doctor STUDY=results/hopper
	$(BIN)/python scripts/doctor.py '$(STUDY)'

# A planted illness may end in divergence, which is exit code 3 and a result here.
doctor-runs: $(STAMP)  ## train the runs with planted illness (27 M steps) and say how often the doctor is right
	for study in $(basename $(notdir $(wildcard conf/experiment/doctor_*.yaml))); do \
		$(BIN)/python train.py -m experiment=$$study || test $$? -eq 3 || exit; \
	done
	$(BIN)/python scripts/calibrate_doctor.py

IN_RESULTS = $(if $(filter-out results,$(RESULTS)),results='$(RESULTS)')
FILMED     = env=hopper,recipe=standard,total_steps=$(STEPS)/seed=2

# Exit code 3: some run diverged, which is a result and stands in the report.
article: $(STAMP)  ## the article's figure, docs/article.png: 45 runs of 1 M steps (continues where it was stopped), and their report
	$(BIN)/python train.py -m experiment=article $(IN_RESULTS) $(OVERRIDES) || test $$? -eq 3
	$(BIN)/python scripts/report.py '$(RESULTS)/article'
	cp '$(RESULTS)/article/report/figures/learning_curves.png' '$(PICTURES)/article.png'

gallery: article  ## all pictures of README and docs, from real runs: the article's and one of Hopper
	$(BIN)/python scripts/report.py '$(RESULTS)/article/*env=hopper*' --out '$(RESULTS)/article/report/hopper'
	cp '$(RESULTS)/article/report/hopper/figures/diagnostics.png' '$(PICTURES)/diagnostics.png'
	$(BIN)/python train.py env=hopper recipe=standard seed=2 total_steps=$(STEPS) study=gallery $(IN_RESULTS)
	$(BIN)/python scripts/watch.py '$(RESULTS)/gallery/$(FILMED)' --out '$(PICTURES)/hopper.png'

# Exit code 3: some run diverged, which is a result.
results: $(STAMP)  ## docs/results.md and docs/recipes.md: 180 runs of ours and 15 of Stable-Baselines3 (continues where it was stopped)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	for study in strong_1m standard_1m default_recipe; do $(BIN)/python train.py -m experiment=$$study || test $$? -eq 3 || exit; done
	$(BIN)/python scripts/train_peer.py
	$(BIN)/python scripts/result_pages.py

CHANGES = '' network.log_std_init=-1,0 algo.lr_end=0 algo.gae_lambda=0.9 algo.norm_adv=minibatch algo.vf_coef=0.5,1 \
          algo.recompute_adv=false algo.gamma=0.98,0.995 algo.lr=1e-3 'algo.n_envs=16 algo.n_steps=128' env.stagger=false algo.epochs=5
CHANGED = $(BIN)/python train.py -m recipe=strong tuned=none study=strong_changes

recipe-changes: $(STAMP)  ## recipe strong, one change at a time, for docs/recipes.md (continues where it was stopped)
	for change in $(CHANGES); do \
		$(CHANGED) env=halfcheetah,hopper,walker2d 'seed=range(5)' $$change || test $$? -eq 3 || exit; \
	done
	for change in '' algo.vf_coef=0.5; do $(CHANGED) env=halfcheetah 'seed=range(5,10)' $$change || test $$? -eq 3 || exit; done
	for change in '' 'algo.n_envs=16 algo.n_steps=128'; do $(CHANGED) env=walker2d 'seed=range(5,10)' $$change || test $$? -eq 3 || exit; done
	$(CHANGED) env=walker2d 'seed=range(5)' algo.n_envs=8 algo.n_steps=256 || test $$? -eq 3
	for change in algo.lr_end=0 algo.norm_adv=minibatch 'algo.n_envs=16 algo.n_steps=128'; do \
		$(CHANGED) env=hopper 'seed=range(5)' network.log_std_init=0 $$change || test $$? -eq 3 || exit; \
	done
	for change in algo.lr_end=0,0.6666666666666666 algo.norm_obs=mean_std 'algo.n_envs=64 algo.n_steps=32'; do \
		$(BIN)/python train.py -m recipe=strong env=pendulum study=strong_pendulum 'seed=range(20)' $$change || test $$? -eq 3 || exit; \
	done
	$(BIN)/python scripts/result_pages.py

eval: $(STAMP)  ## returns of a trained policy: make eval RUN=results/STUDY/NAME/seed=0
	$(BIN)/python scripts/eval.py '$(RUN)' --episodes 100

watch: $(STAMP)  ## a film of a trained policy: make watch RUN=results/STUDY/NAME/seed=0
	$(BIN)/python scripts/watch.py '$(RUN)'

clean:  ## remove environments and caches (results stay)
	rm -rf $(VENV) .venv-matrix .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
