# Everything runs inside .venv, which `make venv` builds once; the other targets reuse it.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= runs/reproduce
SIZE ?= quick

.PHONY: help venv test reproduce lint evidence certify fuzz faults bench peers methods deep hosts learning profile storm docs figures floors release \
	lock clean

help:            ## list the targets
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

lint: venv       ## fix what can be fixed, report the rest
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

reproduce: venv  ## the paper's Figure 1 at full size and CartPole's heatmaps in small, with one HTML report
	$(BIN)/mdvi study run studies/cartpole-quick.toml --out $(OUT)
	$(BIN)/mdvi study report studies/cartpole-quick.toml --out $(OUT)

evidence: venv   ## the full-size sweeps that `make test` samples from, with their numbers
	XLA_FLAGS= $(BIN)/pytest -n 2 -rP -m 'not fuzz and not certify' -k 'everywhere or papers_size or no_theorem or carrier' tests

certify: venv    ## 10 000 models against exact rationals and 60 digits: every interval must hold the truth
	XLA_FLAGS= $(BIN)/pytest -n 2 -rP -m certify tests/planning/test_solve.py

fuzz: venv       ## a million broken model files per format
	XLA_FLAGS= $(BIN)/pytest -n 2 -rP -m fuzz --timeout 0 tests/mdp/test_fuzz.py

faults: venv     ## every call on a file fails, or is the last one of its process: the same command ends as if nothing had happened
	$(BIN)/pytest -n 2 --dist worksteal -rP -m faults --timeout 0 tests/test_faults.py

storm: venv      ## five hundred kills and stops, of runs, studies, workers and environments: what is resumed is what never stopped
	XLA_FLAGS= $(BIN)/pytest -rP -m storm --timeout 0 tests/learning/test_storm.py tests/study/test_study.py tests/study/test_cluster.py

bench: venv      ## the laboratory's speed against a plain NumPy loop
	$(BIN)/python benchmarks/grid.py

# In an environment of its own: the peers bring dozens of packages. One of them asks for a CUDA build of JAX that it does
# not need, so it comes without its dependencies.
.venv-peers/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[learn]' --group bench
	.venv-peers/bin/python -m pip install --quiet --no-deps mdpax==0.2.2
	@touch $@

peers: .venv-peers/ready  ## planning against QuantEcon, MDPSolver, Storm, mdpax and pymdptoolbox; SIZE=full takes an hour
	.venv-peers/bin/python benchmarks/planning.py --$(SIZE) --out results/planning.csv

methods: venv    ## `auto` against the methods it chooses from, on one thread; SIZE=full takes hours
	$(BIN)/python benchmarks/methods.py --$(SIZE)

# Stable-Baselines3 brings the newest torch that this Python and platform have; no one version suits all of them.
.venv-deep-peers/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-deep-peers
	.venv-deep-peers/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-deep-peers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[learn]' --group bench-deep
	.venv-deep-peers/bin/python -m pip install --quiet stable-baselines3==2.9.2
	@touch $@

deep: .venv-deep-peers/ready  ## deep agents against rejax and Stable-Baselines3; SIZE=full takes a quarter of an hour
	.venv-deep-peers/bin/python benchmarks/deep.py --$(SIZE) --out results/deep.csv

hosts: venv      ## environments on the host: how much of their raw speed is left when agents learn in them
	$(BIN)/python benchmarks/hosts.py

profile: venv    ## a study of 320 small runs: how much of its time is compiled training
	$(BIN)/python benchmarks/studies.py

learning: venv   ## six variants, DQN and M-DQN on CartPole with ten seeds, the paper's network, MinAtar, LunarLander; resumable, hours
	$(BIN)/python benchmarks/learning.py --small --paper --minatar --lander

# In an environment of its own: what builds pages is needed by nothing else.
.venv-docs/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-docs/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[learn,plots,envs,frames]' --group docs
	@touch $@

docs: .venv-docs/ready  ## the documentation site → site/index.html, with every example executed; no network is needed to read it
	.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs site
	@echo 'site/index.html'

figures: venv    ## the pictures in docs/
	$(BIN)/python docs/half_strip.py
	$(BIN)/python docs/first.py

# In an environment of its own, which has the lowest versions that pyproject.toml allows: those of the core first, which
# may be lower than what the extras need. Old versions warn of their own future, so warnings are no errors there.
FLOORS := .venv-floors/bin
LOWEST := $(FLOORS)/uv pip compile --quiet --resolution lowest-direct --no-header --no-annotate pyproject.toml --group test-core
floors:          ## the core, then learning, with the lowest versions allowed; PYTHON=python3.11 tests the very lowest
	$(PYTHON) -m venv --clear .venv-floors
	$(FLOORS)/python -m pip install --quiet --constraint constraints.txt uv
	$(LOWEST) --output-file .venv-floors/core.txt
	$(FLOORS)/uv pip install --quiet --python $(FLOORS)/python --requirements .venv-floors/core.txt
	$(FLOORS)/uv pip install --quiet --python $(FLOORS)/python --no-deps --editable .
	$(FLOORS)/pytest -n 2 -o filterwarnings= $(CORE_TESTS)
	$(LOWEST) --extra learn --extra plots --extra envs --output-file .venv-floors/learn.txt
	$(FLOORS)/uv pip install --quiet --python $(FLOORS)/python --requirements .venv-floors/learn.txt
	$(FLOORS)/pytest -n 2 -o filterwarnings= $(LEARN_TESTS)
CORE_TESTS := $(addprefix tests/,planning/test_solve.py planning/test_criteria.py planning/test_choice.py planning/test_road.py \
	mdp/test_strange_files.py test_words.py test_input.py test_output.py report/test_stats.py)
LEARN_TESTS := $(addprefix tests/,cli/test_planner_cli.py mdp/test_formats.py test_algorithms.py regularizers laboratory/test_iterate.py \
	learning/test_targets.py learning/test_agents.py learning/test_request.py report/test_figures.py)

.venv-release/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --upgrade 'pip==26.3'
	.venv-release/bin/python -m pip install --quiet --constraint constraints.txt --group release
	@touch $@

release: .venv-release/ready  ## build the sdist and the wheel in dist/, check what is in them, and prove a certificate with the wheel
	.ci/release

lock: venv       ## renew constraints.txt: newest versions that fit together, for every supported Python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --all-extras --group test --group lint --group bench --group bench-deep --group docs --group release pyproject.toml -o constraints.txt

clean:           ## remove the virtual environment and results
	rm -rf .venv .venv-peers .venv-deep-peers .venv-docs .venv-floors .venv-release dist results site docs/built
