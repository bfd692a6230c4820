# The test targets. Everything they make goes below build/; `make help` lists them.
#
# Targets that need another flavour call make again: a flavour is chosen when the Makefile is read.

FUZZ_SECONDS ?= 60
FUZZ_JOBS ?= $(shell nproc)
FUZZ_OPTIONS ?=
VENV ?= build/venv
SUB := $(MAKE) --no-print-directory

# Sanitizers stop at the first finding and print where; a leak is a finding.
export ASAN_OPTIONS ?= detect_leaks=1:abort_on_error=0:strict_string_checks=1:detect_stack_use_after_return=1
export LSAN_OPTIONS ?= suppressions=$(CURDIR)/tests/checks/lsan.supp
export UBSAN_OPTIONS ?= print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS ?= halt_on_error=1:second_deadlock_stack=1:suppressions=$(CURDIR)/tests/checks/tsan.supp

test: ## Install, build and run every test (a summary is the last line)
	@deploy/install-deps
	@$(PYTHON) tests/checks/run.py $(RUN)
ci: ## What .ci/run does: tests, sanitizers, lint, allocation failures, a fuzz smoke
	@.ci/run

units: $(UNIT) # builds them only: tests/checks/run.py runs them
asan: ## Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	+@$(SUB) CI= FLAVOUR=asan B=$(B)/asan asan-run
asan-run: $(UNIT)
	@$(PYTHON) tests/checks/units.py $(UNIT)
tsan: ## Unit tests of what runs in threads under ThreadSanitizer
	+@$(SUB) CI= FLAVOUR=tsan B=$(B)/tsan tsan-run
TSAN_UNIT := $(filter $(B)/unit/lib/base/% $(B)/unit/lib/control/% $(B)/unit/controlplane/%,$(UNIT))
tsan-run: $(TSAN_UNIT)
	@$(PYTHON) tests/checks/units.py $(TSAN_UNIT)

# The system tests' Python packages.
venv: $(VENV)/.done ## The virtual environment of the system tests
$(VENV)/.done: tests/requirements.txt
	@echo "  VENV  $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --retries 5 -r $<
	@touch $@
system: all $(VENV)/.done ## System tests against real processes (PYTEST="-k name" for some)
	@$(VENV)/bin/python -m pytest -q tests/system $(PYTEST)

# The system tests' programs under sanitizers: some of the tests, and no report at all afterwards.
ASAN_SYSTEM ?= tests/system/test_sdk_python.py tests/system/test_keys.py tests/system/test_config.py
asan-system: $(VENV)/.done ## Some of the system tests with the programs under AddressSanitizer
	+@$(SUB) CI= FLAVOUR=asan B=$(B)/asan all
	@rm -rf $(B)/asan/reports && mkdir -p $(B)/asan/reports
	@HEADGATE_BIN=$(B)/asan/bin ASAN_OPTIONS=$(ASAN_OPTIONS):log_path=$(abspath $(B))/asan/reports/asan \
	    UBSAN_OPTIONS=$(UBSAN_OPTIONS):log_path=$(abspath $(B))/asan/reports/ubsan \
	    $(VENV)/bin/python -m pytest -q $(ASAN_SYSTEM) $(PYTEST)
	@! grep -q . $(B)/asan/reports/* 2>/dev/null || { cat $(B)/asan/reports/*; echo "sanitizer reports"; exit 1; }

# Suites of other people against our stack; see tests/conformance/README.md.
conformance: $(B)/conformance/echo_server ## h2spec against the HTTP/2 server
	@tests/conformance/h2spec.sh $(B)
# Small servers and clients that suites of other people, fuzzers and profilers drive.
$(B)/conformance/%: tests/conformance/%.c $(B)/libheadgate.a
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)
-include $(wildcard $(B)/conformance/*.d)

# --- the code itself -------------------------------------------------------------------------------

OUR_C := $(sort $(wildcard lib/*/*.c dataplane/*.c dataplane/*/*.c controlplane/*.c controlplane/*/*.c))
OUR_H := $(sort $(wildcard lib/*/*.h dataplane/*.h dataplane/*/*.h controlplane/*.h controlplane/*/*.h))
TEST_C := $(sort $(wildcard tests/*/*.c tests/*/*.h tests/unit/*/*.c tests/unit/*/*/*.c))

check: check-layers check-headers check-words check-checks check-model ## All checks of the source that need no tools
check-layers: ## Includes follow the arrows; a library has one home
	@$(PYTHON) tests/checks/layers.py
check-words: ## No banned function, no unfinished mark
	@$(PYTHON) tests/checks/words.py

check-checks: ## The checks refuse what they are there for
	@PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/checks $(PYTHON) -m unittest -q tests/checks/test_checks.py

check-model: ## The protocols of leases, in all states of small models
	@PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/model $(PYTHON) -m unittest -q tests/model/test_leases.py \
	    tests/model/test_budgets.py
# Each header alone, twice, so that neither a missing include nor a missing guard goes unseen.
check-headers: $(OUR_H:%=$(B)/headers/%.ok) ## Each header compiles alone
	@echo "check-headers: $(words $(OUR_H)) headers"
$(B)/headers/%.ok: % | $(GEN_H)
	@mkdir -p $(@D)
	@printf '#include "$<"\n#include "$<"\n' | \
	    $(CC) $(CPPFLAGS) $(CFLAGS) -Werror -MMD -MP -MT $@ -MF $@.d -x c -c -o /dev/null -
	@touch $@
-include $(shell find $(B)/headers -name '*.d' 2>/dev/null)

lint: lint-format lint-tidy lint-cppcheck check-layers check-words ## clang-format, clang-tidy, cppcheck
lint-format: ## The layout is that of .clang-format (version 14)
	@clang-format --version | grep -q 'version 14\.' || { echo "lint: clang-format 14 is needed"; exit 1; }
	@clang-format --dry-run -Werror $(OUR_C) $(OUR_H) $(TEST_C)
	@echo "lint-format: $(words $(OUR_C) $(OUR_H) $(TEST_C)) files"
# One file a process: the analyser of this version remembers va_lists from one file to the next.
# A file that passed is not looked at again until it, one of its headers or the rules change.
lint-tidy: $(OUR_C:%=$(B)/tidy/%.ok)
	@echo "lint-tidy: $(words $(OUR_C)) files"
$(B)/tidy/%.ok: % .clang-tidy | $(GEN_H)
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(CPPFLAGS) -std=gnu11 -w >$@.log 2>$@.err \
	    || { cat $@.log; grep 'error:' $@.err; exit 1; }
	@$(CC) $(CPPFLAGS) -std=gnu11 -MM -MP -MT $@ -MF $@.d $<
	@touch $@
-include $(shell find $(B)/tidy -name '*.d' 2>/dev/null)
lint-cppcheck:
	@mkdir -p $(B)/cppcheck
	@cppcheck -q -j$$(nproc) --cppcheck-build-dir=$(B)/cppcheck --std=c11 --error-exitcode=1 \
	    --enable=warning,portability,performance --inline-suppr --suppress='*:/usr/*' \
	    --suppress='*:$(B)/gen/*' \
	    --include=tests/checks/cppcheck.h -D_GNU_SOURCE -DHEADGATE_VERSION='"$(VERSION)"' -I. \
	    lib dataplane controlplane
	@echo "lint-cppcheck: clean"

# --- allocation failures ---------------------------------------------------------------------------

FAULT_C := $(sort $(wildcard tests/fault/fault_*.c))
FAULT := $(patsubst tests/fault/%.c,$(B)/fault/%,$(FAULT_C))
fault: ## Codecs and the scanner with every allocation failing in turn
	+@$(SUB) CI= FLAVOUR=fault B=$(B)/fault fault-run
fault-run: $(FAULT)
	@$(PYTHON) tests/checks/units.py $(FAULT)
$(B)/fault/%: tests/fault/%.c tests/fault/fault.c $(B)/libdataplane.a $(B)/libcontrolplane.a $(B)/libheadgate.a
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes -MMD -MP -MF $@.d $(LDFLAGS) -rdynamic -o $@ \
	    $(filter %.c,$^) $(filter %.a,$^) $(LIBS) -lcmocka
-include $(shell find $(B)/fault -name '*.d' 2>/dev/null)

# --- fuzzing ---------------------------------------------------------------------------------------

FUZZ_C := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ_C))
FUZZ_SANITIZE := address,undefined
FUZZ_OPT := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
	-fsanitize=fuzzer-no-link,$(FUZZ_SANITIZE) -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
fuzz: ## Run each fuzz target for FUZZ_SECONDS (60) from its corpus
	+@$(SUB) B=$(B)/fuzzing FLAVOUR=asan CC=clang WARN=-w OPT='$(FUZZ_OPT)' fuzz-run
fuzz-build:
	+@$(SUB) B=$(B)/fuzzing FLAVOUR=asan CC=clang WARN=-w OPT='$(FUZZ_OPT)' fuzz-targets
fuzz-targets: $(FUZZ)
fuzz-run: $(FUZZ)
	@$(PYTHON) tests/checks/fuzz.py --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS) $(FUZZ_OPTIONS) $(FUZZ)
$(B)/fuzz/%: tests/fuzz/%.c $(B)/libdataplane.a $(B)/libcli.a $(B)/libcontrolplane.a $(B)/libheadgate.a
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer,$(FUZZ_SANITIZE) -MMD -MP -MF $@.d -o $@ \
	    $(filter %.c,$^) $(filter %.a,$^) $(LIBS)
-include $(shell find $(B)/fuzz -name '*.d' 2>/dev/null)

# --- the ledger's pace -------------------------------------------------------------------------------

$(B)/tests/bench_ingest: tests/bench/ingest.c $(B)/libcontrolplane.a $(B)/libheadgate.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)
bench-ledger: $(B)/bin/headgate-controlplane $(B)/tests/bench_ingest ## Records a second that the ledger books
	@B=$(B) $(PYTHON) tests/bench/ledger.py $(BENCH)

# --- very many keys ----------------------------------------------------------------------------------

$(B)/tests/bench_keys: tests/bench/keys.c $(B)/libcontrolplane.a $(B)/libheadgate.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)
bench-keys: all $(B)/tests/bench_keys $(VENV)/.done ## A million keys: look-up, memory, and how fast a change is everywhere
	@B=$(B) $(VENV)/bin/python tests/bench/keys.py $(BENCH)

# --- very many subjects of quotas ---------------------------------------------------------------------

$(B)/tests/bench_quota: tests/bench/quota.c $(B)/libdataplane.a $(B)/libcontrolplane.a $(B)/libheadgate.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)
bench-quota: $(B)/tests/bench_quota ## 100,000 subjects of a quota on each of 8 workers: memory, rounds, a new leader
	@$(B)/tests/bench_quota 8 100000

# --- the end of a period -----------------------------------------------------------------------------

bench-rollover: all $(B)/tests/bench_upstream $(B)/tests/bench_load $(VENV)/.done ## A million budgets whose period ends at once: what requests wait for
	@B=$(B) $(VENV)/bin/python tests/bench/rollover.py $(BENCH)

.PHONY: bench-quota bench-rollover bench-keys bench-ledger test ci units asan asan-run tsan tsan-run venv system asan-system conformance check check-layers check-words check-headers check-checks check-model lint \
	lint-format lint-tidy lint-cppcheck fault fault-run fuzz fuzz-build fuzz-run fuzz-targets
