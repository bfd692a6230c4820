# Headgate. `make help` lists the targets. Everything built goes to build/.
#
# FLAVOUR: release (default), asan (ASan+UBSan), tsan, crash (crash points on), fault (allocation
# failures). Each builds into its own folder: build/ for release, build/FLAVOUR/ otherwise.

FLAVOUR ?= release
ifeq ($(FLAVOUR),release)
B ?= build
else
B ?= build/$(FLAVOUR)
endif
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
PYTHON ?= python3
VERSION := 0.1.0

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough \
	-Wconversion -Wnull-dereference -Wdouble-promotion
ifneq (,$(findstring clang,$(CC)))
WARN += -Wcomma -Wshorten-64-to-32 -Wunreachable-code-aggressive
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches
endif
ifdef CI
WARN += -Werror
endif

OPT_release := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_crash := -O1 -g -DHEADGATE_CRASHPOINTS
OPT_fault := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -DHEADGATE_FAULT
OPT := $(OPT_$(FLAVOUR))
ifeq ($(OPT),)
$(error FLAVOUR must be one of: release asan tsan crash fault)
endif
LINK_release := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
LINK_asan := -fsanitize=address,undefined
LINK_tsan := -fsanitize=thread
LINK_fault := -fsanitize=address,undefined

PACKAGES := libevent_core libevent_extra libnghttp2 openssl jansson libprotobuf-c yaml-0.1 libpq libcurl
# Only the goals that compile need the libraries; deps, help and clean must work without them.
ifneq (,$(filter-out deps help clean,$(or $(MAKECMDGOALS),all)))
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
endif

# llhttp: Debian 12 ships its C sources in node-llhttp, Debian 13 a library.
ifneq (,$(wildcard /usr/share/llhttp/llhttp.c))
LLHTTP_CFLAGS := -DLLHTTP_STRICT_MODE=1 -isystem /usr/share/include/llhttp -isystem /usr/include/llhttp
LLHTTP_OBJ = $(B)/obj/llhttp/llhttp.o $(B)/obj/llhttp/api.o $(B)/obj/llhttp/http.o
LLHTTP_LIBS :=
else
LLHTTP_CFLAGS :=
LLHTTP_OBJ :=
LLHTTP_LIBS := -lllhttp
endif

CPPFLAGS += -D_GNU_SOURCE -DHEADGATE_VERSION='"$(VERSION)"' -I. -I$(B)/gen $(LLHTTP_CFLAGS) $(PKG_CFLAGS)
CFLAGS += -std=gnu11 $(WARN) $(OPT) -fPIE -fno-strict-aliasing -fwrapv -pthread
LDFLAGS += $(LINK_$(FLAVOUR)) -pthread
LIBS := $(PKG_LIBS) $(LLHTTP_LIBS) -lnng

PROTOS := $(wildcard proto/*.proto)
GEN_C := $(PROTOS:%.proto=$(B)/gen/%.pb-c.c)
GEN_H := $(PROTOS:%.proto=$(B)/gen/%.pb-c.h)

LIB_C := $(sort $(wildcard lib/*/*.c))
DATA_C := $(sort $(filter-out dataplane/main.c,$(wildcard dataplane/*.c dataplane/*/*.c)))
CONTROL_C := $(sort $(filter-out controlplane/main.c,$(wildcard controlplane/*.c \
	$(filter-out controlplane/cli/%,$(wildcard controlplane/*/*.c)))))
CLI_C := $(sort $(filter-out controlplane/cli/main.c,$(wildcard controlplane/cli/*.c controlplane/compat/*.c)))

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIB_O := $(call obj,$(LIB_C)) $(patsubst $(B)/gen/%.c,$(B)/obj/gen/%.o,$(GEN_C)) $(LLHTTP_OBJ)
BINS := $(B)/bin/headgate $(B)/bin/headgate-controlplane $(B)/bin/headgate-dataplane

all: $(BINS) ## Build the three programs into build/bin

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

deps: ## Install the Debian packages it needs (root or sudo)
	@deploy/install-deps

$(B)/libheadgate.a: $(LIB_O)
	@rm -f $@; ar rcs $@ $^
$(B)/libdataplane.a: $(call obj,$(DATA_C))
	@rm -f $@; ar rcs $@ $^
$(B)/libcontrolplane.a: $(call obj,$(CONTROL_C)) $(B)/obj/gen/migrations.o $(B)/obj/gen/pricebook.o
	@rm -f $@; ar rcs $@ $^
$(B)/libcli.a: $(call obj,$(CLI_C))
	@rm -f $@; ar rcs $@ $^

$(B)/bin/headgate-dataplane: $(call obj,dataplane/main.c) $(B)/libdataplane.a $(B)/libheadgate.a
$(B)/bin/headgate-controlplane: $(call obj,controlplane/main.c) $(B)/libcontrolplane.a $(B)/libheadgate.a
$(B)/bin/headgate: $(call obj,controlplane/cli/main.c) $(B)/libcli.a $(B)/libheadgate.a
$(BINS):
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: %.proto
	@mkdir -p $(B)/gen
	@echo "  PROTO $<"
	@protoc-c --c_out=$(B)/gen $<
# The migrations travel inside the binary.
$(B)/gen/migrations.c: controlplane/store/embed $(sort $(wildcard migrations/*.sql))
	@mkdir -p $(B)/gen
	@controlplane/store/embed $(filter %.sql,$^) >$@
# So does the price book.
$(B)/gen/pricebook.c: controlplane/rules/embed controlplane/rules/pricebook.txt
	@mkdir -p $(B)/gen
	@controlplane/rules/embed controlplane/rules/pricebook.txt >$@
$(B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) -std=gnu11 $(OPT) -fPIE -w -c -o $@ $<
$(B)/obj/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) -std=gnu11 $(OPT) -fPIE -w -c -o $@ $<
$(B)/obj/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# --- tests -----------------------------------------------------------------------------------------

UNIT_C := $(sort $(wildcard tests/unit/*/test_*.c tests/unit/*/*/test_*.c))
UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_C))
$(B)/unit/%: tests/unit/%.c $(B)/libdataplane.a $(B)/libcontrolplane.a $(B)/libcli.a $(B)/libheadgate.a
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< \
	    $(filter %.a,$^) $(LIBS) -lcmocka
unit: $(UNIT) ## Build and run the unit tests (FLAVOUR=asan for sanitizers)
	@fail=0; for t in $(UNIT); do ./$$t >$$t.log 2>&1 && echo "  ok    $$t" || { fail=1; cat $$t.log; echo "  FAIL  $$t"; }; done; exit $$fail

# Programs that tests and the benchmark start.
$(B)/tests/make_policy: tests/fakes/make_policy.c $(B)/libheadgate.a $(B)/libcontrolplane.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(B)/libcontrolplane.a $(B)/libheadgate.a $(LIBS)
$(B)/tests/bench_%: tests/bench/%.c tests/bench/bench.h
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) -D_GNU_SOURCE -I. -std=gnu11 -Wall -Wextra -O2 -g -o $@ $<

bench: all $(B)/tests/make_policy $(B)/tests/bench_upstream $(B)/tests/bench_load ## Compare with nginx in one run (BENCH="--quick" for a look)
	@$(PYTHON) tests/bench/run.py $(BENCH)
run: ## Install what it needs, build, and start a local gateway
	@deploy/install-deps --runtime
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(B)/bin/headgate up $(UP)

-include $(shell find $(B)/obj $(B)/unit -name '*.d' 2>/dev/null)
-include tests/tests.mk

clean: ## Remove build/
	rm -rf build

.PHONY: all help deps unit bench run clean
.DELETE_ON_ERROR:
.SECONDARY:
