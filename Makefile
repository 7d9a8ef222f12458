# Two commands matter: `make demo` and `make test`. Both work from a fresh clone.
PYTHON ?= python3
VENV ?= .venv
OUTPUT ?= demo-output
RUN = $(VENV)/bin/python
DISPLAYED = tools/with_display.sh

.PHONY: demo test test-pyside6 test-network lint screenshots benchmark wheel test-wheel system clean

demo: $(VENV)/.installed system  ## segment and propagate on real images, and show napari
	$(DISPLAYED) $(RUN) tools/demo.py --output $(OUTPUT)

test: $(VENV)/.installed system  ## every test, with a real napari viewer on a virtual screen
	ANYSAM_VIRTUAL_SCREEN=always $(DISPLAYED) $(RUN) -m pytest

test-pyside6: $(VENV)/pyside6/.installed system  ## the tests of the window with the other binding of Qt
	ANYSAM_VIRTUAL_SCREEN=always QT_API=pyside6 PYTEST_QT_API=pyside6 PYTHONPATH=$(VENV)/pyside6 \
		$(DISPLAYED) $(RUN) -m pytest tests/gui

test-network: $(VENV)/.installed  ## official weights of every family, downloaded and asked for coins
	ANYSAM_TEST_NETWORK=1 $(RUN) -m pytest -s tests/real_weights

lint: $(VENV)/.installed  ## style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

screenshots: $(VENV)/.installed system  ## the pictures of README and docs
	ANYSAM_VIRTUAL_SCREEN=always $(DISPLAYED) $(RUN) tools/screenshots.py

benchmark: $(VENV)/.installed  ## propagation against the official predictor
	$(RUN) benchmarks/propagation.py

wheel: $(VENV)/.installed
	$(RUN) -m build --no-isolation --wheel

test-wheel: wheel system  ## install the wheel in an empty environment and run the core tests there
	tools/test_wheel.sh $(PYTHON)

system:  ## libraries that Qt and the virtual screen need
	@tools/system_libraries.sh

# sam2's build needs torch, so torch comes first and the build sees this environment;
# an isolated build would download torch a second time. ultralytics is there for the tests of FastSAM;
# with its dependencies it would bring opencv-python, whose Qt plugins break PyQt6's. All else that it
# imports for them is here already.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip setuptools wheel hatchling editables
	$(RUN) -m pip install --quiet torch torchvision
	SAM2_BUILD_CUDA=0 $(RUN) -m pip install --quiet --no-build-isolation "sam2>=1.1"
	$(RUN) -m pip install --quiet --no-build-isolation --editable ".[test]"
	$(RUN) -m pip install --quiet --no-deps "ultralytics>=8.3.60" opencv-python-headless
	touch $@

# In a folder beside PyQt6, which goes on being the binding of all else. From PySide6 6.11 on, on
# Python 3.11, napari's own window loses references to None until the process aborts.
$(VENV)/pyside6/.installed: $(VENV)/.installed
	$(RUN) -m pip install --quiet --upgrade --target $(VENV)/pyside6 "PySide6_Essentials>=6.5,<6.11"
	touch $@

clean:
	rm -rf build dist demo-output .pytest_cache .mypy_cache .ruff_cache
