# `make demo` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin
# Scripts of the workflow run with this environment's Python, and this folder's library.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)

DEMO := results/demo_birds
SCENES := results/demo_scenes

.PHONY: demo test slurm-test reliability check bench runs plan stale queue graph settings demo-encoder help
.DEFAULT_GOAL := help

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: .venv/ready ## install, then run the whole job on birds that the project draws
	$(BIN)/python -m snakemake --profile profiles/demo
	$(BIN)/python -m snakemake --profile profiles/demo --configfile config/demo_scenes.yaml
	@echo
	@cat $(DEMO)/map_table.md
	@echo
	@sed '/^## Class by class/,$$d' $(SCENES)/suppression_table.md
	@echo
	@echo "page      $(DEMO)/index.html"
	@echo "table     $(DEMO)/map_table.md (.csv), chart $(DEMO)/map_chart.png (.svg)"
	@echo "layers    $(DEMO)/layer_table.md (.csv), chart $(DEMO)/layer_chart.png (.svg)"
	@echo "encoders  $(DEMO)/encoder_table.md (.csv), chart $(DEMO)/encoder_chart.png (.svg)"
	@echo "traits    $(DEMO)/group_table.md (.csv), chart $(DEMO)/group_chart.png (.svg)"
	@echo "costs     $(DEMO)/cost_table.md (.csv)"
	@echo "images of single prototypes:"
	@ls $(DEMO)/*/layer*/*/features/*/index.html
	@echo "which latents a segmentation head relies on:"
	@echo "page      $(SCENES)/index.html"
	@echo "table     $(SCENES)/suppression_table.md (.csv), chart $(SCENES)/dose_chart.png (.svg)"
	@echo "probes    $(SCENES)/probe_table.md (.csv)"

test: .venv/ready ## install, then run all tests, side by side on up to four cores
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

slurm-test: .venv/ready ## install, then test the profile for SLURM on a real cluster of one node
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slurm -rs tests/cluster

reliability: .venv/ready ## try every edit with every failure; write docs/reliability.md
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m reliability tests/workflow/test_reliability.py

check: .venv/ready ## check style and formatting
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m snakefmt --check Snakefile workflow

bench: .venv/ready ## compare speed with peers and floors, and write docs/benchmarks.md
	$(BIN)/python benchmarks/run_all.py

demo-encoder: .venv/ready ## train the demo's encoder again (minutes; its weights are in git)
	$(BIN)/python scripts/train_demo_encoder.py --out encoders/demo \
	  --image_size 64 --patch_size 8 --width 64 --n_layers 4 --head_width 16 \
	  --n_species 1000 --n_images_per_species 10 --drawing_size 160 --corpus_seed 1001 \
	  --batch_size 64 --n_steps 2400 --n_warmup 50 --learning_rate 3e-3 \
	  --weight_decay 0.05 --patch_weight 0.1 --seed 0 --n_workers 2

runs: .venv/ready ## list runs and settings of the real study (CONFIG=config/demo.yaml: another)
	$(BIN)/python scripts/list_runs.py $(or $(CONFIG),config/config.yaml)

plan: .venv/ready ## say what the real study will cost (CONFIG=config/demo.yaml: another)
	$(BIN)/python scripts/plan_study.py $(or $(CONFIG),config/config.yaml)

stale: .venv/ready ## name results that today's code or settings would not make so (CONFIG=…)
	@$(BIN)/python scripts/find_stale.py $(or $(CONFIG),config/config.yaml)

queue: .venv/ready ## show which jobs of this folder SLURM has, and what each of them makes
	@$(BIN)/python scripts/show_queue.py

graph: .venv/ready ## draw which rules and jobs wait for which: docs/*_graph.md, results/graphs/
	$(BIN)/python scripts/draw_graphs.py --config config/config.yaml \
	  --rules docs/rule_graph.md --jobs results/graphs/cub200_jobs.md
	$(BIN)/python scripts/draw_graphs.py --config config/ade20k.yaml \
	  --rules docs/segmentation_graph.md --jobs results/graphs/ade20k_jobs.md
	$(BIN)/python scripts/draw_graphs.py --config config/demo.yaml \
	  --rules results/graphs/demo_birds_rules.md --jobs results/graphs/demo_birds_jobs.md
	$(BIN)/python scripts/draw_graphs.py --config config/demo_scenes.yaml \
	  --rules results/graphs/demo_scenes_rules.md --jobs results/graphs/demo_scenes_jobs.md

settings: .venv/ready ## write what is made of the types of settings: schema, docs/settings.md
	$(BIN)/python scripts/write_settings.py \
	  --schema workflow/schemas/config.schema.yaml --reference docs/settings.md

# The environment: made once, made again when pyproject.toml changes. One that was moved
# or copied with its folder is mended: its scripts name the folder that they were made in.
MOVED := $(shell [ -s .venv/ready ] && [ "$$(cat .venv/ready)" != "$(CURDIR)" ] && echo yes)
ifeq ($(MOVED),yes)
.PHONY: .venv/ready
endif

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"vitproto needs Python 3.11 or later, not {sys.version.split()[0]}: make PYTHON=python3.11")'
ifeq ($(MOVED),yes)
	@echo "Mending .venv, which was made in another folder ..."
	@$(PYTHON) -m venv --without-pip .venv
	@grep -lIE '^#!.*/\.venv/bin/python' $(BIN)/* | xargs sed -i '1s|^#!.*/\.venv/bin/python|#!$(CURDIR)/$(BIN)/python|'
	@sed -i "s|$$(cat $@)/|$(CURDIR)/|g" .venv/lib/python*/site-packages/__editable__*
else
	@echo "Installing into .venv (minutes, once) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable '.[dev]'
endif
	@echo "$(CURDIR)" > $@
