# `make demo` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
# An active environment (venv or conda) that has the pins of pyproject.toml is used as it
# is. Otherwise packages are installed into .venv.
OTHER := $(shell active="$${VIRTUAL_ENV:-$$CONDA_PREFIX}"; [ "$$active" -ef .venv ] || echo "$$active")
PINS := $(if $(OTHER),$(shell PYTHONPATH="$(CURDIR)" "$(OTHER)/bin/python" -m vitproto.core.pins 2>/dev/null))
ifeq ($(PINS),ok)
BIN := $(OTHER)/bin
export PATH := $(BIN):$(PATH)
else
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
endif
# Scripts of the workflow run with that Python, and with this folder's library.
export PYTHONPATH := $(CURDIR)
# Files and what is printed are UTF-8, whatever the locale.
export PYTHONUTF8 := 1
PY := "$(BIN)/python"

DEMO := results/demo_birds
SCENES := results/demo_scenes

.PHONY: environment demo new test browser-test slurm-test reliability fault-test check bench runs check-data plan trait show share stale queue graph settings demo-encoder help
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: environment ## run both demo studies, on images that the project draws
	$(PY) -m snakemake --profile profiles/demo
	$(PY) -m snakemake --profile profiles/demo --configfile config/demo_scenes.yaml
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
	@echo "images for single prototypes:"
	@ls $(DEMO)/*/layer*/*/features/*/index.html
	@echo "the latents that a segmentation head relies on:"
	@echo "page      $(SCENES)/index.html"
	@echo "table     $(SCENES)/suppression_table.md (.csv), chart $(SCENES)/dose_chart.png (.svg)"
	@echo "probes    $(SCENES)/probe_table.md (.csv)"

test: environment ## run all tests, on up to four cores
	HF_HUB_OFFLINE=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

browser-test: environment ## test the pages in Chromium (apt-get install chromium)
	HF_HUB_OFFLINE=1 $(PY) -m pytest -rs tests/workflow/test_browser.py

slurm-test: environment ## test the SLURM profile on a real cluster of one node
	HF_HUB_OFFLINE=1 $(PY) -m pytest -m slurm -rs tests/cluster

reliability: environment ## test every edit with every failure, and checkouts; write docs/reruns.md
	HF_HUB_OFFLINE=1 $(PY) -m pytest -m reliability tests/workflow

fault-test: environment ## kill 200 stages and 20 runs, mutate each form of file 10,000 times (N=...)
	FAULT_INPUTS=$(or $(N),10000) FAULT_KILLS=200 FAULT_RUNS=20 HF_HUB_OFFLINE=1 $(PY) -m pytest \
	  -n auto --maxprocesses 4 --dist load --maxschedchunk 1 tests/faults tests/core tests/workflow/test_bit_rot.py

check: environment ## check style and formatting
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m snakefmt --check Snakefile workflow

bench: environment ## compare speed with other libraries; write docs/benchmarks.md
	$(PY) benchmarks/run_all.py

demo-encoder: environment ## train the demo's encoder again (takes minutes; its weights are in git)
	$(PY) scripts/train_demo_encoder.py --out encoders/demo \
	  --image_size 64 --patch_size 8 --width 64 --n_layers 4 --head_width 16 \
	  --n_species 1000 --n_images_per_species 10 --drawing_size 160 --corpus_seed 1001 \
	  --batch_size 64 --n_steps 2400 --n_warmup 50 --learning_rate 3e-3 \
	  --weight_decay 0.05 --patch_weight 0.1 --seed 0 --n_workers 2

new: environment ## write a study of your own (STUDY=mine IMAGES=photos TRAITS=traits.csv ENCODER=...)
	@$(PY) scripts/new_study.py "config/$$STUDY.yaml" "$$IMAGES" "$$TRAITS" "$${ENCODER:-bioclip-vit-b16}"
	@$(PY) scripts/plan_study.py "config/$$STUDY.yaml"

runs: environment ## list runs and settings of a study (CONFIG=config/config.yaml, or another)
	$(PY) scripts/list_runs.py $(or $(CONFIG),config/config.yaml)

check-data: environment ## find all bad images, masks and labels of a study (CONFIG=...)
	$(PY) scripts/check_data.py $(or $(CONFIG),config/config.yaml)

plan: environment ## estimate jobs, GPU hours, disk and memory of a study (CONFIG=...)
	$(PY) scripts/plan_study.py $(or $(CONFIG),config/config.yaml)

trait: environment ## make the page of a trait (TRAIT=has_wing_color::blue CONFIG=... PROFILE=...)
	@$(PY) scripts/open_trait.py $(or $(CONFIG),config/config.yaml) "$$TRAIT"

show: environment ## make a page of prototypes (RUN=tiny-vit/layer3/pca/k8-seed0 PROTOTYPES=5,7 CONFIG=...)
	@$(PY) scripts/open_prototypes.py $(or $(CONFIG),config/config.yaml) "$$RUN" "$$PROTOTYPES"

share: environment ## pack pages, charts and tables of a study: results/STUDY.zip (CONFIG=...)
	@$(PY) scripts/share_study.py $(or $(CONFIG),config/config.yaml)

stale: environment ## list results that do not match today's code, settings or files (CONFIG=...)
	@$(PY) scripts/find_stale.py $(or $(CONFIG),config/config.yaml)

queue: environment ## list the SLURM jobs of this folder, and what each makes
	@$(PY) scripts/show_queue.py

graph: environment ## draw the graphs of rules (docs/*_graph.md) and jobs (results/graphs/)
	$(PY) scripts/draw_graphs.py --config config/config.yaml \
	  --rules docs/rule_graph.md --jobs results/graphs/cub200_jobs.md
	$(PY) scripts/draw_graphs.py --config config/ade20k.yaml \
	  --rules docs/segmentation_graph.md --jobs results/graphs/ade20k_jobs.md
	$(PY) scripts/draw_graphs.py --config config/demo.yaml \
	  --rules results/graphs/demo_birds_rules.md --jobs results/graphs/demo_birds_jobs.md
	$(PY) scripts/draw_graphs.py --config config/demo_scenes.yaml \
	  --rules results/graphs/demo_scenes_rules.md --jobs results/graphs/demo_scenes_jobs.md

settings: environment ## write the schema and docs/settings.md from the types of settings
	$(PY) scripts/write_settings.py \
	  --schema workflow/schemas/config.schema.yaml --reference docs/settings.md

ifeq ($(PINS),ok)
environment:
	@echo "Using the active environment $(OTHER)." >&2
else
environment: .venv/ready
	@echo "Using .venv$(if $(OTHER), and not the active environment $(OTHER): $(or $(PINS),it has no Python 3.11 or later))." >&2
endif

# .venv is made once, and again when pyproject.toml changes. If it was moved or copied with
# its folder, the paths in its scripts are corrected.
MOVED := $(shell [ -s .venv/ready ] && [ "$$(cat .venv/ready)" != "$(CURDIR)" ] && echo yes)
ifeq ($(MOVED),yes)
.PHONY: .venv/ready
endif

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"vitproto needs Python 3.11 or later, not {sys.version.split()[0]}: make PYTHON=python3.11")'
ifeq ($(MOVED),yes)
	@echo "Correcting the paths in .venv, which was made in another folder ..."
	@$(PYTHON) -m venv --without-pip .venv
	@grep -lIE '^#!.*/\.venv/bin/python' .venv/bin/* | xargs sed -i '1s|^#!.*/\.venv/bin/python|#!$(CURDIR)/.venv/bin/python|'
	@sed -i "s|$$(cat $@)/|$(CURDIR)/|g" .venv/lib/python*/site-packages/__editable__*
else
	@echo "Installing into .venv (once, takes minutes) ..."
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --editable '.[dev,browser]'
endif
	@echo "$(CURDIR)" > $@
