# Everything runs inside .venv, which `make venv` builds once; the other targets reuse it.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= runs/reproduce
SIZE ?= quick

.PHONY: help venv test reproduce lint evidence certify fuzz faults bench peers methods average deep hosts learning profile storm docs figures floors release \
	lock clean

help:            ## print the targets
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

venv: .venv/ready  ## build the virtual environment, once

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mdvi needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv, or set PYTHON=..." >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip==26.3'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[learn,plots,envs,atari]' --group test --group lint
	@touch $@

test: venv       ## lint, types and the test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

lint: venv       ## fix style errors where possible, report the others
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

reproduce: venv  ## reproduce the paper's Figure 1 at full size, also with other regularisers, and small CartPole heatmaps, with one HTML report
	$(BIN)/mdvi study run studies/cartpole-quick.toml --out $(OUT)
	$(BIN)/mdvi study report studies/cartpole-quick.toml --out $(OUT)

evidence: venv   ## run the full-size sweeps that `make test` samples, and print their numbers
	XLA_FLAGS= $(BIN)/pytest -n 2 -rP -m 'not fuzz and not certify' -k 'everywhere or papers_size or full_size or no_theorem or no_search or carrier' tests

certify: venv    ## check 22 000 models with exact rationals and 60 digits: every interval must contain the exact value
	XLA_FLAGS= $(BIN)/pytest -n 2 -rP -m certify tests/planning/test_solve.py tests/planning/test_regularized_truth.py \
		tests/planning/test_total.py tests/planning/test_average.py

fuzz: venv       ## read a million broken model files per format
	XLA_FLAGS= $(BIN)/pytest -n 2 -rP -m fuzz --timeout 0 tests/mdp/test_fuzz.py

faults: venv     ## let each file operation fail, or be the last of its process: repeating the command must recover
	$(BIN)/pytest -n 2 --dist worksteal -rP -m faults --timeout 0 tests/test_faults.py

storm: venv      ## stop runs, studies, workers and environments 500 times: resumed results must be bit-identical
	XLA_FLAGS= $(BIN)/pytest -rP -m storm --timeout 0 tests/learning/test_storm.py tests/study/test_study.py tests/study/test_cluster.py

bench: venv      ## compare the speed of the laboratory with a plain NumPy loop
	$(BIN)/python benchmarks/grid.py

# A separate environment, because the peers need dozens of packages. One of them requires a CUDA build of JAX that it does
# not use, so it is installed without its dependencies.
.venv-peers/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[learn]' --group bench
	.venv-peers/bin/python -m pip install --quiet --no-deps mdpax==0.2.2
	@touch $@

peers: .venv-peers/ready  ## compare planning with QuantEcon, MDPSolver, Storm, mdpax and pymdptoolbox; SIZE=full takes an hour
	.venv-peers/bin/python benchmarks/planning.py --$(SIZE) --out results/planning.csv

methods: venv    ## compare `auto` with the methods that it chooses from, on one thread; SIZE=full takes hours
	$(BIN)/python benchmarks/methods.py --$(SIZE)

average: venv    ## measure average rewards, of models that mix fast and slowly, with one gain and with several
	$(BIN)/python benchmarks/average.py --full

# Stable-Baselines3 installs the newest torch for this Python and platform; no single version supports all of them.
.venv-deep-peers/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-deep-peers
	.venv-deep-peers/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-deep-peers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[learn]' --group bench-deep
	.venv-deep-peers/bin/python -m pip install --quiet stable-baselines3==2.9.2
	@touch $@

deep: .venv-deep-peers/ready  ## compare deep agents with rejax and Stable-Baselines3; SIZE=full takes a quarter of an hour
	.venv-deep-peers/bin/python benchmarks/deep.py --$(SIZE) --out results/deep.csv

hosts: venv      ## measure the share of the raw speed of host environments that remains when agents learn in them
	$(BIN)/python benchmarks/hosts.py

profile: venv    ## measure the share of compiled training in the time of a study of 320 small runs
	$(BIN)/python benchmarks/studies.py

learning: venv   ## train six variants, DQN and M-DQN on CartPole, MinAtar and LunarLander; takes hours, resumable
	$(BIN)/python benchmarks/learning.py --small --paper --minatar --lander

# A separate environment, because only the documentation needs these packages.
.venv-docs/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-docs/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[learn,plots,envs,frames]' --group docs
	@touch $@

docs: .venv-docs/ready  ## build the documentation in site/index.html and execute its examples; it can be read offline
	.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs site
	@echo 'site/index.html'

figures: venv    ## draw the pictures in docs/
	$(BIN)/python docs/half_strip.py
	$(BIN)/python docs/first.py
	$(BIN)/python docs/regularizers.py

# A separate environment with the lowest versions that pyproject.toml allows: first the core, whose versions may be lower
# than the extras require. Old versions emit deprecation warnings, so warnings are not errors there.
FLOORS := .venv-floors/bin
LOWEST := $(FLOORS)/uv pip compile --quiet --resolution lowest-direct --no-header --no-annotate pyproject.toml --group test-core
floors:          ## test the core, then learning, with the lowest allowed versions; PYTHON=python3.11 tests the very lowest
	$(PYTHON) -m venv --clear .venv-floors
	$(FLOORS)/python -m pip install --quiet --constraint constraints.txt uv
	$(LOWEST) --output-file .venv-floors/core.txt
	$(FLOORS)/uv pip install --quiet --python $(FLOORS)/python --requirements .venv-floors/core.txt
	$(FLOORS)/uv pip install --quiet --python $(FLOORS)/python --no-deps --editable .
	$(FLOORS)/pytest -n 2 -o filterwarnings= $(CORE_TESTS)
	$(LOWEST) --extra learn --extra plots --extra envs --output-file .venv-floors/learn.txt
	$(FLOORS)/uv pip install --quiet --python $(FLOORS)/python --requirements .venv-floors/learn.txt
	$(FLOORS)/pytest -n 2 -o filterwarnings= $(LEARN_TESTS)
CORE_TESTS := $(addprefix tests/,planning/test_solve.py planning/test_criteria.py planning/test_choice.py planning/test_solver.py \
	mdp/test_strange_files.py test_words.py test_input.py test_output.py report/test_stats.py)
LEARN_TESTS := $(addprefix tests/,cli/test_planner_cli.py mdp/test_formats.py test_algorithms.py regularizers laboratory/test_iterate.py \
	learning/test_targets.py learning/test_agents.py learning/test_request.py report/test_figures.py)

.venv-release/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-release/bin/python -m pip install --quiet --constraint constraints.txt --group release
	@touch $@

release: .venv-release/ready  ## build the sdist and the wheel in dist/, check their content, and prove a certificate with the wheel
	.ci/release

lock: venv       ## update constraints.txt to the newest compatible versions for every supported Python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --all-extras --group test --group lint --group bench --group bench-deep --group docs --group release pyproject.toml -o constraints.txt

clean:           ## remove the virtual environment and results
	rm -rf .venv .venv-peers .venv-deep-peers .venv-docs .venv-floors .venv-release dist results site docs/built
