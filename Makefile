# Each target does its own set-up and is quick when nothing is missing. `make help` lists them.
# A file by hand: make test TESTS=test/format.test.ts

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# Debian packages come before npm ci, and that before the build.
.NOTPARALLEL:

export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

SOURCES := $(shell find base fs server cli test bench -name '*.ts' 2>/dev/null)
TESTS ?= $(sort $(wildcard test/*.test.ts))
TEST_PROGRAMS = $(patsubst %.ts,dist/%.js,$(TESTS))

RUN_PACKAGES := \
  "libfuse2=the fuse-native binding (mounts without root)" \
  "fuse3=fusermount, which mounts without root"
TEST_PACKAGES := $(RUN_PACKAGES) \
  "python3=the tests of the Python client" \
  "gcc=the tests of the C client" \
  "libc6-dev=the tests of the C client" \
  "linux-libc-dev=the tests of struct layouts" \
  "passwd=the tests with two users (useradd)" \
  "openssl=the tests of STARTTLS, which make a certificate" \
  "swaks=the tests of the mail server with a client that people use" \
  "libnet-ssleay-perl=the TLS of swaks"
MAIL_PROGRAMS := \
  "dovecot-imapd=the tests of IMAP clients on the mount" \
  "dovecot-pop3d=the tests of POP3 clients on the mount" \
  "dovecot-lmtpd=the tests of Dovecot delivering into the mount" \
  "postfix=the tests of Postfix in front of LMTP and writing into the mount" \
  "mutt=the tests of mutt on the mount" \
  "procmail=the tests of procmail delivering into the mount" \
  "maildrop=the tests of maildrop delivering into the mount" \
  "s-nail=the tests of s-nail on the mount" \
  "strace=the tests that hold a mail program in the middle of its work"
BENCH_PACKAGES := $(RUN_PACKAGES) \
  "gcc=the load generators of the benchmark" \
  "libc6-dev=the load generators of the benchmark"
BENCH_SERVERS := \
  "dovecot-imapd=the benchmark of a mailbox through IMAP"

.PHONY: run test check bench build clean clean-spool help node debian-run debian-test debian-bench

## run: the mail server on ports 2525 and 2524, one mail to 15 mailboxes in ./spool; until Ctrl-C
run: debian-run build
	@node dist/cli/demo.js

## test: all tests; ends with the line "N passed, N failed, N skipped"
test: debian-test build
	@scripts/test $(TEST_PROGRAMS)

## check: types, lint and format
check: build
	oxlint --type-aware --deny-warnings
	oxfmt --check

## bench: the measurements of README, against a plain directory (root, several minutes)
bench: debian-bench build
	@node dist/bench/bench.js $(BENCH)

## build: compile to dist/
build: dist/.built

## clean: remove what was built and installed; a spool made by `make run` stays
clean:
	rm -rf dist .tap node_modules
	@if [ -e spool-store ]; then echo "kept: ./spool-store, with its mail (make clean-spool removes it)"; fi

## clean-spool: remove the mail of `make run` (./spool-store); it must not be mounted
clean-spool:
	@if mountpoint -q spool; then echo "./spool is mounted: end \`make run\` first" >&2; exit 1; fi
	rm -rf spool-store
	@if [ -d spool ]; then rmdir spool; fi

## help: this list
help:
	@sed -n 's/^## \([a-z-]*\): /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS=$$'\t' read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done

node:
	@scripts/check-node

debian-run: node
	@scripts/debian-packages $(RUN_PACKAGES)

debian-test: node
	@scripts/debian-packages $(TEST_PACKAGES) --optional $(MAIL_PROGRAMS)

debian-bench: node
	@scripts/debian-packages $(BENCH_PACKAGES) --optional $(BENCH_SERVERS)

# libfuse2 is there before npm ci, which leaves fuse-native out without it.
node_modules/.installed: package-lock.json .npmrc | node
	@scripts/install

dist/.built: $(SOURCES) tsconfig.json package.json node_modules/.installed
	@echo "compiling to dist/"
	@tsc -p tsconfig.json
	@chmod +x dist/cli/onespool.js dist/cli/mount.fuse.onespool.js
	@touch $@
