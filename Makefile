# Two commands do everything: `make run` and `make test`. `make setup` is the part they share.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test processes: twice the cores of a small machine, since half of the tests wait for a process or a timer.
WORKERS ?= 4

.PHONY: setup run test bench kafka clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

run: setup
	$(BIN)/weir demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --max-worker-restart 0

bench: setup
	$(BIN)/python -m tools.bench --json bench.json

kafka: setup
	$(BIN)/python -m tools.kafka

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
