# lacuna: every target prints what it does; `make help` lists them.
#
# What is built once is not built again: cargo tracks the crate, scripts/notebooks.py the figures (by content, not by
# date), and the library itself everything under data/.

SHELL  := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Which experiment: smoke (minutes), desk (the default), published (hours), paper (a GPU).
PRESET ?= desk
# Extra arguments, e.g. `make test ARGS="flow::"` or `make bench ARGS="--precision f32"`.
ARGS   ?=

CARGO  ?= cargo
PYTHON ?= python3

# Programs are looked for here, wherever else the settings of the machine or of an environment have cargo put them.
export CARGO_TARGET_DIR := $(CURDIR)/target
unexport CARGO_BUILD_TARGET

# Inside an activated conda environment (environment.yml) everything comes from there; otherwise from .venv.
ifneq ($(CONDA_PREFIX),)
VENV ?= $(CONDA_PREFIX)
# HDF5 of the environment, found when building and when running.
export HDF5_DIR ?= $(CONDA_PREFIX)
export RUSTFLAGS += -C link-arg=-Wl,-rpath,$(CONDA_PREFIX)/lib
else
VENV ?= .venv
endif
PY := $(VENV)/bin/python

SYSTEM  := .cache/system.ok
JUPYTER := .cache/jupyter.ok

.PHONY: help setup build test fuzz inject miri valgrind figures notebooks lab bench cuda cuda-check check-python doc wheel ffi workflow-test cluster-test fmt lint deny check-notebooks stale readme site clean distclean

help: ## This list
	@echo "make TARGET [PRESET=smoke|desk|published|paper]   (PRESET is $(PRESET))"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## /\t/' \
	  | awk -F'\t' '{ printf "  %-16s %s\n", $$1, $$2 }'

setup: $(SYSTEM) $(JUPYTER) ## Install system libraries, .venv and the Rust kernel; other targets call it when needed
	@echo "setup: up to date"

$(SYSTEM): scripts/setup.sh
	@scripts/setup.sh system
	@mkdir -p $(@D) && touch $@

$(JUPYTER): scripts/setup.sh scripts/kernel.py requirements.txt | $(SYSTEM)
	@VENV=$(VENV) PYTHON=$(PYTHON) scripts/setup.sh jupyter
	@mkdir -p $(@D) && touch $@

# A deleted environment or a moved clone is set up again.
ifeq ($(wildcard $(VENV)/share/jupyter/kernels/rust/kernel.json),)
.PHONY: $(JUPYTER)
else ifeq ($(shell grep -cF '"$(subst ','\'',$(CURDIR))/scripts/kernel.py"' "$(VENV)/share/jupyter/kernels/rust/kernel.json"),0)
.PHONY: $(JUPYTER)
endif

build: $(SYSTEM) ## Build the library and target/release/lacuna
	$(CARGO) build --release

test: $(SYSTEM) ## Run every Rust test: unit, integration, documentation
	$(CARGO) test --release --workspace $(ARGS)

# Unit tests of matrix products, where core's unsafe code is: under Miri by the registers of any processor, under valgrind by AVX2.
PRODUCTS := -p lacuna-core --lib -- small_gemm matrix $(ARGS)

miri: ## Undefined behaviour in matrix products? Their unit tests under Miri (nightly)
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || { \
	  echo "make miri needs: rustup toolchain install nightly --component miri --component rust-src" >&2; exit 1; }
	CARGO_TARGET_DIR=target/miri MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test $(PRODUCTS)

valgrind: ## Reads and writes beyond their arrays in matrix products? Their unit tests under valgrind
	@command -v valgrind >/dev/null || { echo "make valgrind needs valgrind" >&2; exit 1; }
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind -q --error-exitcode=1" $(CARGO) test --release $(PRODUCTS)

fuzz: $(SYSTEM) ## Read 5,000 damaged or crafted inputs and kill 100 runs; `make test` does some of both (INPUTS=, KILLS=)
	LACUNA_FUZZ_INPUTS=$(or $(INPUTS),5000) LACUNA_FUZZ_KILLS=$(or $(KILLS),100) \
	  $(CARGO) test --release --workspace --test integration fuzz:: -- --nocapture --test-threads 1

inject: $(SYSTEM) ## Run every command with an error at one file call after the other; `make test` does a few (TRIALS= of each command, ONLY=data,run)
	LACUNA_INJECT_TRIALS=$(or $(TRIALS),1000000) LACUNA_INJECT_ONLY="$(ONLY)" \
	  $(CARGO) test --release --workspace --test integration inject:: -- --nocapture

figures: build $(JUPYTER) ## Rebuild every figure and table of PRESET by running the notebooks headless (ARGS=--all: also the one with burn)
	@$(PY) scripts/notebooks.py run --preset $(PRESET) $(ARGS)

notebooks: figures ## As figures, with the notebook that loads burn, and write all outputs back into notebooks/*.ipynb
	@$(PY) scripts/notebooks.py run --all --preset $(PRESET) $(ARGS)
	@$(PY) scripts/notebooks.py publish --preset $(PRESET)

readme: figures ## Fill the results section of README.md from the tables of PRESET
	@$(PY) scripts/readme_results.py --preset $(PRESET)

# In a container one is root, which JupyterLab wants to be told.
lab: build $(JUPYTER) ## Open JupyterLab on the notebooks with PRESET (ARGS: options of jupyter-lab, e.g. --no-browser)
	@$(PY) scripts/kernel.py --prepare
	LACUNA_PRESET=$(PRESET) $(VENV)/bin/jupyter-lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks/00_quickstart.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

bench: build ## Time the solver, training and draws (idle machine); TORCH=python-with-pytorch runs PyTorch beside them
	$(CARGO) bench --bench core
	@for size in "256 --batch 5 --steps 400" "64 --batch 16 --steps 4000"; do for noise in "" --no-noise; do \
	  target/release/lacuna bench solver --n $$size $$noise $(ARGS); done; done
	@for model in paper-latent paper-physical ae-8 ae-16; do target/release/lacuna bench train --model $$model --json; done
	@for model in latent-8 paper-physical spectral; do target/release/lacuna bench sample --model $$model --json; \
	  target/release/lacuna bench rollout --model $$model --json; done
	$(CARGO) bench --workspace --bench overhead
	@$(PYTHON) bench/compare_vectors.py
	@$(if $(TORCH),$(TORCH) bench/compare_solver.py && $(TORCH) bench/compare_learning.py)

cuda: $(SYSTEM) ## Build target/cuda/release/lacuna for NVIDIA GPUs, without LLVM, CUDA toolkit or GPU (20 minutes cold)
	@scripts/cuda.sh build $(ARGS)

cuda-check: $(SYSTEM) ## Does the code for NVIDIA GPUs compile? (without linking)
	@scripts/cuda.sh check $(ARGS)

wheel: $(SYSTEM) $(JUPYTER) ## The Python module with its library as dist/*.whl: pip install it, no compiler needed
	$(CARGO) build --release --workspace --lib
	@rm -rf dist
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist crates/ffi/python

# The wheel in an environment of its own; py-pde is large, and only one loop needs it. $(PY) may be that of a conda environment.
ffi: build wheel ## The library for C, Fortran and Python: the installed wheel, and loops against an ensemble of preset smoke
	@rm -rf .cache/wheel && $(PYTHON) -m venv .cache/wheel
	.cache/wheel/bin/pip install --quiet --disable-pip-version-check dist/*.whl h5py==3.16.0
	.cache/wheel/bin/pip install --quiet --disable-pip-version-check py-pde==0.59.0 || echo "ffi: py-pde cannot be installed here"
	@scripts/setup.sh fortran
	target/release/lacuna rollout --preset smoke --closure spectral | tee .cache/rollout.txt
	@program=; if command -v gfortran >/dev/null; then program=.cache/closed_loop; \
	  gfortran -O2 -J.cache -o $$program crates/ffi/fortran/lacuna.f90 examples/fortran/closed_loop.f90 \
	    -Ltarget/release -llacuna_ffi -Wl,-rpath,$(CURDIR)/target/release; fi; \
	  .cache/wheel/bin/python crates/ffi/check.py "$${LACUNA_OUT:-data}/$$(awk '$$1 == "result" { last = $$2 } END { print last }' .cache/rollout.txt)" $$program

# Snakemake has an environment of its own, so that the notebooks' stays as it is pinned.
SNAKEMAKE := .cache/snakemake/bin/snakemake
$(SNAKEMAKE): workflow/requirements.txt
	@rm -rf .cache/snakemake && $(PYTHON) -m venv .cache/snakemake
	.cache/snakemake/bin/pip install --quiet --disable-pip-version-check -r workflow/requirements.txt
	@touch $@

workflow-test: build $(SNAKEMAKE) ## Plans of every preset as jobs, then a tiny configuration in pieces: the same bits as in one process
	.cache/snakemake/bin/python workflow/test.py workflow/profiles/local

cluster-test: build $(SNAKEMAKE) ## The same on a Slurm of one node that is set up for it (Debian or Ubuntu, as root)
	scripts/cluster_test.sh .cache/snakemake/bin/python workflow/test.py workflow/profiles/slurm --slurm-no-account \
	  --slurm-status-command squeue --slurm-init-seconds-before-status-checks 3 --seconds-between-status-checks 3 --latency-wait 10

check-python: build $(JUPYTER) ## Files of the program as Python reads them (xarray, safetensors)
	@$(PY) -m pip install --quiet --disable-pip-version-check numpy h5py h5netcdf xarray
	$(PY) -m unittest discover -v -s tests/python

doc: $(SYSTEM) ## API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps

fmt: ## Format the Rust sources
	$(CARGO) fmt --all

lint: $(SYSTEM) ## Formatting and clippy, warnings are errors; dependencies compiled once
	@$(PYTHON) scripts/unify.py
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --lib --no-default-features --features notebook -- -D warnings

deny: ## Licences and duplicates of what is linked, as deny.toml allows (needs cargo-deny: cargo install --locked cargo-deny)
	@command -v cargo-deny >/dev/null || { echo "deny: no cargo-deny; cargo install --locked cargo-deny builds it (ten minutes)" >&2; exit 1; }
	$(CARGO) deny --locked check licenses bans sources

check-notebooks: $(JUPYTER) ## Prove that the notebook checker rejects broken notebooks
	$(PY) -m unittest discover -v -s tests/notebooks

stale: $(JUPYTER) ## Say which committed notebook outputs are older than their inputs; with STRICT=1 fail if any is
	@$(PY) scripts/notebooks.py stale $(if $(STRICT),--strict)

site: $(JUPYTER) ## README, notebooks, gallery and documents as static pages in site/, every link checked
	@$(PY) scripts/site_pages.py

clean: ## Remove build products; keep data/, figures/ and the environment
	$(CARGO) clean
	rm -rf notebooks/.evcxr notebooks/.ipynb_checkpoints .cache/notebooks dist site

# Results by the names that they are given; what else lies under data/ is somebody's.
distclean: clean ## Also remove the environment and the results under data/
	rm -rf .cache .venv
	find data -maxdepth 1 -regextype posix-extended -regex 'data/[a-z]+-[0-9a-f]{12}(\.partial|\.lock)?' -exec rm -rf {} +
	rm -f data/manifest.jsonl
