# mod_tokrevoke: everything goes to build/. `make help` lists the targets.
#
# The rooms below the wall (src/base .. src/oauth) are compiled without httpd's include path into libtokrevoke.a; the Apache
# half is compiled with it; apxs links both into mod_tokrevoke.so. A sanitizer variant is the same makefile run again with
# SAN=... and its own output folder.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:

# ---- what to build, and where ----------------------------------------------------------------------------------

SAN    ?=
CI     ?= false
WERROR ?= $(if $(filter true 1,$(CI)),1,0)
B      ?= build

APXS   ?= apxs
PYTHON ?= /usr/bin/python3
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)

# make V=1 shows every command in full.
V ?=
ifneq ($(V),)
run =
else
run = @echo "  $(1) $@"; 
endif

comma := ,
apxs_q = $(shell $(APXS) -q $(1) 2>/dev/null)

HTTPD_INC  := $(call apxs_q,INCLUDEDIR)
LIBEXECDIR := $(call apxs_q,LIBEXECDIR)
SYSCONFDIR := $(call apxs_q,SYSCONFDIR)
APR_INC    := $(call apxs_q,APR_INCLUDEDIR)
APU_INC    := $(call apxs_q,APU_INCLUDEDIR)
APR_CONFIG := $(call apxs_q,APR_CONFIG)
APXS_DEFS  := $(call apxs_q,EXTRA_CPPFLAGS)

ifeq ($(origin CC),default)
CC := $(or $(call apxs_q,CC),cc)
endif

# The distribution's hardening flags; elsewhere those that httpd itself was built with.
BUILDFLAGS := $(shell command -v dpkg-buildflags 2>/dev/null)
buildflag   = $(shell DEB_BUILD_MAINT_OPTIONS=hardening=+bindnow dpkg-buildflags --get $(1) 2>/dev/null)
ifneq ($(BUILDFLAGS),)
DIST_CPPFLAGS := $(call buildflag,CPPFLAGS)
DIST_CFLAGS   := $(call buildflag,CFLAGS)
DIST_LDFLAGS  := $(call buildflag,LDFLAGS)
else
DIST_CPPFLAGS := $(call apxs_q,CPPFLAGS)
DIST_CFLAGS   := $(call apxs_q,CFLAGS)
DIST_LDFLAGS  := -Wl,-z,relro -Wl,-z,now
endif

CFLAGS   ?= $(DIST_CFLAGS)
CPPFLAGS ?= $(DIST_CPPFLAGS)
LDFLAGS  ?= $(DIST_LDFLAGS)

# _FORTIFY_SOURCE replaces functions that the sanitizers want to see, and -O1 keeps their reports readable.
SAN_CFLAGS  := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1 -U_FORTIFY_SOURCE)
SAN_LDFLAGS := $(if $(SAN),-fsanitize=$(SAN))
COV_FLAGS   := $(if $(COV),--coverage -fprofile-update=atomic -O0 -U_FORTIFY_SOURCE)
COV_EXIT    := $(if $(COV),$(B)/obj/tests/cov/exit.o)
COV_LDFLAGS := $(if $(COV),--coverage -Wl$(comma)--wrap=_exit)

STRICT := -Wall -Wextra -Wconversion $(if $(filter 1 true,$(WERROR)),-Werror)
# Below -Wconversion: test programs are full of small literals.
STRICT_TESTS := -Wall -Wextra $(if $(filter 1 true,$(WERROR)),-Werror)
STATEDIR     ?= /var/lib/tokrevoke
STATE_FLAG   := -DTR_STATE_DIR='"$(STATEDIR)"'
LANG_FLAGS   := -std=gnu11 -fPIC -pthread $(STATE_FLAG)

BASE_FLAGS  = $(LANG_FLAGS) $(CPPFLAGS) $(CFLAGS) $(SAN_CFLAGS) $(COV_FLAGS) $(APXS_DEFS) -MMD -MP
APR_FLAGS   = -isystem $(APR_INC) $(if $(filter-out $(APR_INC),$(APU_INC)),-isystem $(APU_INC))
HTTPD_FLAGS = -isystem $(HTTPD_INC) $(APR_FLAGS)

MODULE_LIBS := -ljansson -lcrypto
TEST_LIBS    = $(MODULE_LIBS) $(shell $(APR_CONFIG) --link-ld 2>/dev/null) -laprutil-1 -lpthread

# ---- sources -----------------------------------------------------------------------------------------------------

ROOMS      := base jose table token store gate ledger oauth
LIB_SRCS   := $(sort $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c)))
HTTPD_SRCS := mod_tokrevoke.c $(sort $(wildcard src/httpd/*.c))
LIB_OBJS   := $(LIB_SRCS:%.c=$(B)/obj/%.o)
HTTPD_OBJS := $(HTTPD_SRCS:%.c=$(B)/obj/%.o)

LIB    := $(B)/libtokrevoke.a
MODULE := $(B)/mod_tokrevoke.so

UNIT_SRCS   := $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELP   := $(sort $(filter-out $(UNIT_SRCS),$(wildcard tests/unit/*.c)))
RACE_SRCS   := $(sort $(wildcard tests/race/race_*.c))
RACE_HELP   := $(sort $(filter-out $(RACE_SRCS),$(wildcard tests/race/*.c)))
FUZZ_SRCS   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_HELP   := $(sort $(filter-out $(FUZZ_SRCS),$(wildcard tests/fuzz/*.c)))
UNIT_PROGS  := $(UNIT_SRCS:%.c=$(B)/%)
RACE_PROGS  := $(RACE_SRCS:%.c=$(B)/%)
COST_PROGS  := $(B)/tests/cost/gate $(B)/tests/cost/worst
FUZZ_PROGS  := $(FUZZ_SRCS:%.c=$(B)/%)
FILL_STORE  := $(B)/bench/fill_store

# ---- the module --------------------------------------------------------------------------------------------------

.PHONY: all
all: $(MODULE)

# Objects are made anew when the compiler or a flag changes.
$(B)/flags: FORCE
	@tools/need '$(HTTPD_INC)' '$(APR_INC)' '$(CC)'
	@mkdir -p $(B)
	@printf '%s\n' "$(CC) $(subst ",,$(BASE_FLAGS)) $(STRICT) $(LDFLAGS)" > $@.new
	@if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi
.PHONY: FORCE
FORCE:

# A room sees the doors and its own folder, and nothing of httpd.
$(LIB_OBJS): $(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call run,CC)$(CC) $(BASE_FLAGS) $(STRICT) -fvisibility=hidden -Iinclude -I$(<D) $(APR_FLAGS) -c -o $@ $<

# The module record is the one symbol that httpd looks up by name, so its file keeps the default visibility.
$(B)/obj/mod_tokrevoke.o: VISIBILITY := default
$(HTTPD_OBJS): $(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call run,CC)$(CC) $(BASE_FLAGS) $(STRICT) -fvisibility=$(or $(VISIBILITY),hidden) -Iinclude -Isrc/httpd $(HTTPD_FLAGS) -c -o $@ $<

$(LIB): $(LIB_OBJS)
	@rm -f $@
	$(call run,AR)$(or $(AR),ar) rcs $@ $^

# apxs links the ordinary build. Its libtool drops flags that it does not know, so the other variants call the compiler.
ifeq ($(SAN)$(COV),)
$(MODULE): $(HTTPD_OBJS) $(LIB)
	$(call run,apxs -c -o)$(APXS) -S CC="$(CC)" -S LDFLAGS="$(LDFLAGS) -Wl,--as-needed" -c -o $(B)/mod_tokrevoke.la $^ $(MODULE_LIBS) \
	  > $(B)/link.log 2>&1 || { cat $(B)/link.log; exit 1; }
	@cp $(B)/.libs/mod_tokrevoke.so $@
else
$(MODULE): $(HTTPD_OBJS) $(COV_EXIT) $(LIB)
	$(call run,LD)$(CC) -shared $(LDFLAGS) $(SAN_LDFLAGS) $(COV_LDFLAGS) -o $@ $^ $(MODULE_LIBS)
endif

# ---- test programs -----------------------------------------------------------------------------------------------

TEST_INC = -Iinclude -Itests/unit $(foreach room,$(ROOMS),-Isrc/$(room)) $(APR_FLAGS)

$(B)/obj/tests/%.o: tests/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call run,CC)$(CC) $(BASE_FLAGS) $(STRICT_TESTS) -I$(<D) $(TEST_INC) -c -o $@ $<

# What test programs share; an archive, so that each takes only what it uses.
TEST_LIB := $(B)/libtesting.a
$(TEST_LIB): $(UNIT_HELP:%.c=$(B)/obj/%.o)
	@rm -f $@
	$(call run,AR)$(or $(AR),ar) rcs $@ $^

# Where test_tr_failing_* has library calls fail: what our own objects call goes through tr_testing_failing.c.
FAILING := $(B)/obj/tests/unit/tr_testing_failing.o
$(B)/tests/unit/test_tr_failing_%: WRAP = $$(nm $(FAILING) | sed -n 's/.* T __wrap_/-Wl,--wrap=/p')
$(UNIT_PROGS): $(B)/tests/%: $(B)/obj/tests/%.o $(COV_EXIT) $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	$(call run,LD)$(CC) $(LDFLAGS) $(SAN_LDFLAGS) $(COV_LDFLAGS) $(WRAP) -pthread -o $@ $^ -lcmocka $(TEST_LIBS)

$(RACE_PROGS): $(B)/tests/%: $(B)/obj/tests/%.o $(RACE_HELP:%.c=$(B)/obj/%.o) $(COV_EXIT) $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	$(call run,LD)$(CC) $(LDFLAGS) $(SAN_LDFLAGS) $(COV_LDFLAGS) -pthread -o $@ $^ $(TEST_LIBS)

# Valgrind does not know every compiler's debug information, and needs none.
$(COST_PROGS): $(B)/tests/cost/%: $(B)/obj/tests/cost/%.o $(B)/obj/tests/cost/counted.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	$(call run,LD)$(CC) $(LDFLAGS) -Wl,--strip-debug -pthread -o $@ $^ $(TEST_LIBS) -ldl

# The library under the fuzzer is instrumented for coverage; -fsanitize=fuzzer brings libFuzzer's main.
$(FUZZ_PROGS): $(B)/tests/%: $(B)/obj/tests/%.o $(FUZZ_HELP:%.c=$(B)/obj/%.o) $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	$(call run,LD)$(CC) $(LDFLAGS) -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(TEST_LIBS)

.PHONY: unit-programs race-programs fuzz-programs cost-program
unit-programs: $(UNIT_PROGS)
race-programs: $(RACE_PROGS)
fuzz-programs: $(FUZZ_PROGS)
cost-program: $(COST_PROGS)

.SECONDARY:

# ---- running the tests -------------------------------------------------------------------------------------------

.PHONY: unit race e2e fuzz fuzz-replay node apps
unit: $(UNIT_PROGS)
	@tools/run-programs unit $^

race: $(RACE_PROGS)
	@tools/run-programs race $^

# What the tests use of other people's software: tokens by jose, a whole provider by oidc-provider, a browser by playwright-core.
NODE_DIR := build/node
node: $(NODE_DIR)/installed
$(NODE_DIR)/installed: $(wildcard tests/e2e/node/package.json tests/e2e/node/package-lock.json)
	@rm -rf $(NODE_DIR)
	@mkdir -p $(NODE_DIR)
	cp tests/e2e/node/*.json $(wildcard tests/e2e/node/.npmrc) $(NODE_DIR)/
	cd $(NODE_DIR) && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

# Applications as the distribution packs them, unpacked and not installed.
APPS_DIR := build/apps
apps: $(APPS_DIR)/unpacked
$(APPS_DIR)/unpacked: tools/apps
	@mkdir -p build
	tools/apps $(APPS_DIR)
	@touch $@

MPM    ?= event
H2     ?=
TR_SAN ?=
TESTS  ?= tests/e2e
PYTEST_FLAGS ?= -q
# One test process more than there are processors, since they wait more than they work; each file of tests belongs to one. 1: one after the
# other, as for -s, --pdb or a debugger.
E2E_JOBS ?= $(shell expr $(JOBS) + 1)
SIDE_BY_SIDE = $(if $(filter-out 0 1,$(E2E_JOBS)),-n $(E2E_JOBS) --dist loadfile --max-worker-restart 0)
# A test that hangs must not hang everything; the interrupt lets pytest stop its servers and say where it was.
E2E_LIMIT ?= 30m
PYTEST = TR_MODULE=$(abspath $(MODULE)) TR_MPM=$(MPM) TR_SAN=$(TR_SAN) TR_NODE=$(abspath $(NODE_DIR)) PYTHONDONTWRITEBYTECODE=1 \
  timeout --foreground --signal=INT --kill-after=30s $(E2E_LIMIT) $(PYTHON) -m pytest -p no:cacheprovider $(PYTEST_FLAGS)
e2e: $(MODULE) node apps
	@echo "== e2e: mpm_$(MPM)$(if $(H2),$(comma) HTTP/2 over TLS), $(MODULE)"
	TR_H2=$(H2) TR_APPS=$(abspath $(APPS_DIR)) $(PYTEST) $(SIDE_BY_SIDE) $(TESTS)

# What an attacker sends, by the hundred, and as many oddities that are legal.
.PHONY: hostile
hostile: $(MODULE)
	@echo "== hostile: mpm_$(MPM), $(MODULE)"
	$(PYTEST) $(SIDE_BY_SIDE) $(or $(HOSTILE_TESTS),tests/hostile)

# Kills, faults of the disk, damaged files, a database server that goes away. The long form runs for an hour or more.
CRASH_ROUNDS ?= 25
SOAK_ROUNDS  ?= 1200
.PHONY: crash soak
crash: $(MODULE) node $(FILL_STORE)
	@echo "== crash: mpm_$(MPM), $(MODULE)"
	TR_FILL_STORE=$(abspath $(FILL_STORE)) TR_CRASH_ROUNDS=$(CRASH_ROUNDS) $(PYTEST) $(SIDE_BY_SIDE) $(or $(CRASH_TESTS),tests/crash)
soak:
	@TR_LONG=1 $(MAKE) --no-print-directory unit
	@TR_CRASH_LONG=1 $(MAKE) --no-print-directory crash E2E_JOBS=1 CRASH_ROUNDS=$(SOAK_ROUNDS) E2E_LIMIT=$(or $(SOAK_LIMIT),6h)
	@TR_LONG=1 $(MAKE) --no-print-directory e2e TESTS="$(addprefix tests/e2e/test_,store_restart.py cutoff_race.py turnover.py)" \
	  E2E_JOBS=1 E2E_LIMIT=$(or $(SOAK_LIMIT),6h)
	@$(MAKE) --no-print-directory soak-requests

# Requests of every kind, and what httpd holds after them: flat, or it fails. The figures go to build/soak/.
REQUESTS ?= 10000000
.PHONY: soak-requests
soak-requests: E2E_LIMIT = $(or $(SOAK_LIMIT),6h)
soak-requests: $(MODULE)
	@echo "== soak: $(REQUESTS) requests, mpm_$(MPM), $(MODULE)"
	TR_REQUESTS=$(REQUESTS) TR_SOAK_JSON=build/soak/requests-$(REQUESTS).json $(PYTEST) tests/soak

# What a request costs in instructions, allocations, locks and system calls, against tests/cost/ceilings. No time is measured.
.PHONY: cost
cost: override MPM = event
cost: $(MODULE) $(COST_PROGS)
	@echo "== cost: $(COST_PROGS), $(MODULE)"
	TR_COST=$(abspath $(B)/tests/cost/gate) TR_WORST=$(abspath $(B)/tests/cost/worst) $(PYTEST) $(or $(COST_TESTS),tests/cost)

# ---- variants: the same makefile again ---------------------------------------------------------------------------

ASAN  := $(MAKE) --no-print-directory B=build/asan SAN=address,undefined
UBSAN := $(MAKE) --no-print-directory B=build/ubsan SAN=undefined
TSAN  := $(MAKE) --no-print-directory B=build/tsan SAN=thread
FUZZ  := $(MAKE) --no-print-directory B=build/fuzz SAN=fuzzer-no-link,address,undefined CC=clang
COVER := $(MAKE) --no-print-directory B=build/cov COV=1

.PHONY: asan asan-unit asan-e2e ubsan tsan
asan: asan-unit asan-e2e
asan-unit:
	@$(ASAN) -j$(JOBS) all unit-programs
	@$(ASAN) unit
# All but the measurements.
asan-e2e:
	@$(ASAN) -j$(JOBS) all
	@$(ASAN) e2e TR_SAN=asan TESTS="$(filter-out tests/e2e/test_bench.py,$(sort $(wildcard tests/e2e/test_*.py)))"
	@$(ASAN) hostile TR_SAN=asan

ubsan:
	@$(UBSAN) -j$(JOBS) all unit-programs
	@$(UBSAN) unit
	@$(UBSAN) e2e

# Where there is one thread and no end of rounds there is nothing for it to see.
ALONE := $(addprefix build/tsan/tests/unit/test_tr_,failing_crypto failing_store starved damage)
tsan:
	@$(TSAN) -j$(JOBS) unit-programs race-programs
	@$(TSAN) unit race UNIT_PROGS="$(filter-out $(ALONE),$(UNIT_SRCS:%.c=build/tsan/%))"

fuzz-replay:
	@$(FUZZ) -j$(JOBS) fuzz-programs
	@tools/fuzz-replay build/fuzz/tests/fuzz

# make fuzz TARGET=token T=300; what it finds new goes to build/fuzz/corpus/<target>
T ?= 60
fuzz:
	@$(FUZZ) -j$(JOBS) fuzz-programs
	@tools/fuzz-run build/fuzz '$(TARGET)' '$(T)'

# make fuzz-all T=600; two targets at a time
.PHONY: fuzz-all
fuzz-all:
	@$(FUZZ) -j$(JOBS) fuzz-programs
	@tools/fuzz-all build/fuzz '$(T)'

# What the tests run of the module. Each stage adds to build/cov/counters; cov begins anew.
COV_LINES    ?= 95
COV_BRANCHES ?= 85
COV_STAGES   ?= cov-unit cov-e2e cov-crash
COUNTED = CC="$(CC)" tools/coverage run build/cov
.PHONY: cov cov-build cov-unit cov-e2e cov-crash cov-report
cov:
	@rm -rf build/cov/counters
	@$(AGAIN) cov-build
	@$(AGAIN) $(COV_STAGES)
	@$(AGAIN) cov-report
cov-build:
	@$(COVER) -j$(JOBS) all unit-programs
cov-unit: cov-build
	@$(COUNTED) unit -- $(COVER) unit
# The ordinary build is what the tests install.
cov-e2e: cov-build all
	@$(COUNTED) e2e -- $(COVER) e2e
cov-crash: cov-build
	@$(COUNTED) crash -- $(COVER) crash
cov-report:
	@CC="$(CC)" tools/coverage report build/cov $(COV_LINES) $(COV_BRANCHES)

# ---- the reader's own checks -------------------------------------------------------------------------------------

# Each security check taken out, one after the other: a test must fail. tests/mutants/*.toml lists them; MUTANTS names some, or globs.
MUTANTS       ?=
MUTANTS_FLAGS ?=
.PHONY: mutants
mutants: node apps
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tools/mutants -j $(JOBS) $(MUTANTS_FLAGS) $(MUTANTS)

.PHONY: lint tidy
lint: $(MODULE)
	@tools/lint $(MODULE)
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) bench/report --check
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tools/mutants --check

# Three analyzers, and no finding. What is not asked of them stands in .clang-tidy and tools/analyze, each with its reason.
tidy:
	@tools/need '$(HTTPD_INC)' '$(APR_INC)' clang-tidy
	@tools/need '$(HTTPD_INC)' '$(APR_INC)' cppcheck
	@tools/analyze $(JOBS) $(LANG_FLAGS) $(APXS_DEFS) -Iinclude $(APR_FLAGS) -- -isystem $(HTTPD_INC)

$(B)/bench/rooms: bench/rooms.c bench/rooms_gate.c bench/measure.c bench/rooms.h bench/measure.h $(LIB) $(TEST_LIB)
	@mkdir -p $(@D)
	$(call run,CC)$(CC) $(BASE_FLAGS) $(STRICT_TESTS) $(TEST_INC) $(LDFLAGS) $(SAN_LDFLAGS) -o $@ $(filter %.c,$^) $(TEST_LIB) $(LIB) $(TEST_LIBS)

# Fills a database as the module would have.
$(FILL_STORE): bench/fill_store.c $(LIB)
	@mkdir -p $(@D)
	$(call run,CC)$(CC) $(BASE_FLAGS) $(STRICT) $(TEST_INC) $(LDFLAGS) $(SAN_LDFLAGS) -o $@ $< $(LIB) $(TEST_LIBS)

# What users would pick instead, as the distribution packs it, unpacked and not installed.
PEERS_DIR := build/peers
.PHONY: peers
peers: $(PEERS_DIR)/versions
$(PEERS_DIR)/versions: bench/peers
	bench/peers $(PEERS_DIR)

# make bench ROUNDS=7 SECONDS_EACH=4; the result is build/bench/results.json, of which bench-report makes docs/PERFORMANCE.md.
ROUNDS       ?= 5
SECONDS_EACH ?= 4
BENCH_ARGS   ?=
BENCH = TR_MODULE=$(abspath $(MODULE)) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) bench/run
.PHONY: bench bench-quick bench-revocations bench-rooms bench-report bench-needs
bench-needs: $(MODULE) $(FILL_STORE) peers
	@command -v wrk > /dev/null || { echo "make bench needs wrk: make deps"; exit 1; }
bench: bench-needs
	@$(AGAIN) bench-rooms JSON=build/bench/rooms.json
	@$(BENCH) --rounds $(ROUNDS) --seconds $(SECONDS_EACH) $(BENCH_ARGS)
bench-quick: bench-needs
	@$(BENCH) --quick --live 20000 --out build/bench/quick.json $(BENCH_ARGS)
bench-revocations: bench-needs
	@$(BENCH) --rounds $(ROUNDS) --seconds $(SECONDS_EACH) --only revoking --only start --only memory \
	  --out build/bench/revocations.json $(BENCH_ARGS)
bench-rooms: $(B)/bench/rooms
	@mkdir -p build/bench
	@$< $(if $(JSON),--json '$(JSON)') $(ROOM)
bench-report:
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) bench/report

# ---- the two commands --------------------------------------------------------------------------------------------

# apxs may only come with the first step, so the rest is asked of a make that starts after it.
.PHONY: demo run demo-only run-only
demo:
	@tools/install-deps demo
	@$(MAKE) --no-print-directory demo-only
run:
	@tools/install-deps demo
	@$(MAKE) --no-print-directory run-only
demo-only: $(MODULE)
	@tools/demo $(MODULE)
run-only: $(MODULE)
	@tools/demo --stay $(MODULE)

.PHONY: test test-all
test: deps
	@$(MAKE) --no-print-directory test-all

# What the parent does before it has children, what a token must look like, what a clock or a disk does wrong, what the documentation
# says and what a browser shows, is the same with every MPM. The run over HTTP/2 takes them all.
BROWSER   := $(wildcard tests/e2e/test_browser*.py)
ONCE      := $(addprefix tests/e2e/test_,config.py store_start.py forgery.py refuse.py flows.py cookbook.py snippets.py \
               introspect.py clients_file.py logout_page.py provider.py guard_ways.py store_clock.py store_stall.py verified.py \
               bench.py valgrind.py key_files.py server_info.py nested.py core.py authz.py cors.py cascade.py vhosts.py \
               clients.py login.py) \
             $(BROWSER)
MPM_TESTS := $(filter-out $(ONCE),$(sort $(wildcard tests/e2e/test_*.py)))

STAMP = @printf '\n==== %s (%s)\n' "$(1)" "$$(date +%H:%M:%S)"
AGAIN := $(MAKE) --no-print-directory
test-all:
	$(call STAMP,build: gcc and clang with every warning an error)
	@$(AGAIN) -j$(JOBS) WERROR=1 all unit-programs race-programs cost-program
	@$(AGAIN) -j$(JOBS) WERROR=1 B=build/clang CC=clang all unit-programs race-programs cost-program
	$(call STAMP,lint)
	@$(AGAIN) WERROR=1 lint
	$(call STAMP,analysis: gcc -fanalyzer$(comma) clang-tidy$(comma) cppcheck)
	@$(AGAIN) tidy
	$(call STAMP,unit tests)
	@$(AGAIN) WERROR=1 unit
	$(call STAMP,what a request costs)
	@$(AGAIN) WERROR=1 cost
	$(call STAMP,races: threads and processes on one table)
	@TR_SECONDS=$${TR_SECONDS:-4} $(AGAIN) WERROR=1 race
	$(call STAMP,races under the thread sanitizer)
	@TR_SECONDS=$${TR_SECONDS:-3} TR_OPS=$${TR_OPS:-500000} $(AGAIN) WERROR=1 tsan
	$(call STAMP,fuzz corpus replayed)
	@$(AGAIN) fuzz-replay
	$(call STAMP,unit tests and end to end on event: what they reach is counted)
	@$(AGAIN) WERROR=1 cov MPM=event COV_STAGES="cov-unit cov-e2e"
	$(call STAMP,end to end: worker with HTTP/2 over TLS)
	@$(AGAIN) WERROR=1 e2e MPM=worker H2=1
	$(call STAMP,end to end: worker with what is of HTTP/1.1 alone)
	@$(AGAIN) WERROR=1 e2e MPM=worker PYTEST_FLAGS="-q -m h1" TESTS="$(MPM_TESTS)"
	$(call STAMP,end to end: prefork)
	@$(AGAIN) WERROR=1 e2e MPM=prefork TESTS="$(MPM_TESTS)"
	$(call STAMP,hostile tokens and requests)
	@$(AGAIN) WERROR=1 hostile MPM=event
	$(call STAMP,crashes and faults)
	@$(AGAIN) WERROR=1 crash MPM=event
	$(call STAMP,requests of a day$(comma) in short: flat memory)
	@$(AGAIN) WERROR=1 soak-requests REQUESTS=300000
	$(call STAMP,unit tests and end to end under the address and undefined behaviour sanitizers)
	@$(AGAIN) WERROR=1 asan
	$(call STAMP,every part of make test passed)

.PHONY: deps
deps:
	@tools/install-deps

# ---- install -----------------------------------------------------------------------------------------------------

DESTDIR  ?=
# Debian reads nothing from mods-available until a2enmod links it; elsewhere extra/ is read only when included by hand.
CONFDIR  ?= $(if $(wildcard $(SYSCONFDIR)/conf-available $(SYSCONFDIR)/mods-available),$(SYSCONFDIR)/mods-available,$(SYSCONFDIR)/extra)
HTTPD_USER ?= $(shell tools/httpd-user)

.PHONY: install uninstall
install: $(MODULE)
	install -d '$(DESTDIR)$(LIBEXECDIR)' '$(DESTDIR)$(CONFDIR)' '$(DESTDIR)$(STATEDIR)'
	$(APXS) -S LIBEXECDIR='$(DESTDIR)$(LIBEXECDIR)' -i -n tokrevoke $(B)/mod_tokrevoke.la
	tools/install-conf '$(LIBEXECDIR)' '$(DESTDIR)$(CONFDIR)' '$(STATEDIR)'
	chmod 750 '$(DESTDIR)$(STATEDIR)'
	@tools/own-state-dir '$(DESTDIR)$(STATEDIR)' '$(HTTPD_USER)'
	@echo "Installed. Nothing is enabled yet: on Debian run 'a2enmod tokrevoke', elsewhere include $(CONFDIR)/tokrevoke.load."

# The configuration and the state folder stay: they are the administrator's.
uninstall:
	rm -f '$(DESTDIR)$(LIBEXECDIR)/mod_tokrevoke.so' '$(DESTDIR)$(CONFDIR)/tokrevoke.load'
	@echo "Left in place: $(DESTDIR)$(CONFDIR)/tokrevoke.conf and $(DESTDIR)$(STATEDIR)"

# ---- the rest ----------------------------------------------------------------------------------------------------

.PHONY: clean help
clean:
	rm -rf build

help:
	@sed -n 's/^#H //p' $(firstword $(MAKEFILE_LIST))

#H make                     the module: build/mod_tokrevoke.so (gcc or what apxs names; make CC=clang)
#H make demo                a private httpd, a token, its revocation: every request and answer printed
#H make run                 the same server left running to play with, until Ctrl-C
#H make test                everything: installs what is missing, builds, checks, tests (about half an hour on two processors)
#H
#H make deps                install what building and testing need (apt)
#H make unit                unit tests
#H make race                threads and processes on one table (TR_SECONDS=, TR_OPS= scale it)
#H make e2e                 pytest against a real httpd (MPM=event|worker|prefork, H2=1 for HTTP/2 over TLS, TESTS=, PYTEST_FLAGS=,
#H                          E2E_JOBS= processes side by side; 1 for -s or --pdb)
#H make cost                what a request costs, counted: instructions, allocations, locks, system calls (valgrind, strace; COST_TESTS=)
#H make hostile             tokens and requests that are bent in one place, and as many that are odd but legal (HOSTILE_TESTS=, MPM=)
#H make crash               kills, full and failing disks, damaged files, a database server that goes away (CRASH_ROUNDS=, CRASH_TESTS=, MPM=)
#H make soak                the same for hours: every system call, every offset, 500 graceful restarts, 100,000 cut-offs (SOAK_ROUNDS=, SOAK_LIMIT=)
#H make soak-requests       10,000,000 requests of every kind, each answer checked, and memory that must stay flat (REQUESTS=, SOAK_LIMIT=; needs wrk)
#H make fuzz-replay         every fuzz target over its kept corpus
#H make fuzz TARGET= T=60   search with one fuzz target for T seconds
#H make fuzz-all T=60       the same with every target, two at a time, and a table
#H make asan ubsan tsan     the tests in sanitizer builds
#H make cov                 lines and branches that the unit, end-to-end and crash tests reach (COV_LINES=, COV_BRANCHES=: the least, in percent)
#H make cov-build cov-unit cov-e2e cov-crash cov-report   its steps (TESTS=, CRASH_TESTS= as above)
#H make mutants             takes each security check out, one after the other, and expects a test to fail (about an hour; MUTANTS= names,
#H                          globs or lists, MUTANTS_FLAGS="--resume" or "--list")
#H make lint                rooms, exports, sizes, log ids, directives, promises, faults, format, and that the list of make mutants fits the sources
#H make tidy                gcc -fanalyzer, clang-tidy and cppcheck, without a finding
#H make bench               a checked request, a revocation, a start beside the same without, and beside what others offer (needs wrk; about 40 minutes
#H                          on a quiet machine; ROUNDS=5 SECONDS_EACH=4, BENCH_ARGS="--only tuned")
#H make bench-quick         the same in a few minutes, on a busy machine too: checks the harness, measures nothing
#H make bench-report        docs/PERFORMANCE.md, its plot and its JSON from what make bench wrote
#H make bench-revocations   revoking, starting, memory only
#H make bench-rooms         what each room costs by itself (ROOM="base jose table verified gate", JSON=file)
#H
#H make install             module, conf and state folder (DESTDIR=, CONFDIR=, STATEDIR=, HTTPD_USER=); enables nothing
#H make uninstall           remove the module and its .load file
#H make clean               remove build/
#H
#H V=1 shows every command; WERROR=1 makes warnings errors; CI=true implies it.

-include $(LIB_OBJS:.o=.d) $(HTTPD_OBJS:.o=.d) $(patsubst %.c,$(B)/obj/%.d,$(UNIT_SRCS) $(UNIT_HELP) $(RACE_SRCS) $(RACE_HELP) $(wildcard tests/cost/*.c) $(FUZZ_SRCS) $(FUZZ_HELP))
