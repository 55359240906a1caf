# The commands a user types. Everything else is CMake (see CMakePresets.json and docs/developing.md).
#   make            the release binary as ./cortensor
#   make run        a local network that answers a real prompt, proves it, and stays up until Ctrl-C
#   make run ONCE=1 PROMPT="…"    the same, ending after the proof; exit 0 only if the verdict is VALID
#   make test       the whole test suite; make test-full adds the long forms
#   make simulate SEEDS=10000    the roles in simulated networks; ends with 'N seeds, 0 violations'
SHELL := /bin/sh
PROMPT ?= Tell me a story about a brave rabbit.
export PROMPT
SEEDS ?= 1000
FIRST ?= 1
JOBS := $(shell nproc)
BUILD := build/release
export CCACHE_SLOPPINESS := pch_defines,time_macros

.PHONY: all run test test-full simulate clean packages
all: cortensor

packages:
	@tools/install_packages.sh run

cortensor: packages
	@cmake --preset release --log-level=WARNING -DCORTENSOR_TESTS=OFF >/dev/null
	@cmake --build $(BUILD) --target cortensor -j $(JOBS)
	@cmp -s $(BUILD)/src/app/cortensor cortensor || cp -f $(BUILD)/src/app/cortensor cortensor
.PHONY: cortensor

run: cortensor
	@./cortensor up --demo "$$PROMPT" $(if $(ONCE),--once)

test:
	@tools/run_tests.sh quick

test-full:
	@tools/run_tests.sh full

simulate:
	@tools/install_packages.sh test
	@cmake --preset release --log-level=WARNING -DCORTENSOR_TESTS=ON >/dev/null
	@cmake --build $(BUILD) --target simulate -j $(JOBS)
	@$(BUILD)/tests/simulation/simulate --seeds $(SEEDS) --first $(FIRST)

clean:
	rm -rf build cortensor
