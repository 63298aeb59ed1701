# The menu. Every recipe is `./lab`'s; this file only names them (style P2). `just` comes with the locked environment:
# `./lab setup`, then `.venv/bin/just`, or your own.

set positional-arguments := true

# List the recipes.
default:
    @just --list --unsorted

# Make today's folder, YYYY/MM/DD.
day *args:
    @./lab day "$@"

# Run one llm spec now: just ai spec=path/to/spec.json
ai *args:
    @./lab ai "$@"

# Mine a repository's commits: just mine repo=owner name=repository limit=10
mine *args:
    @./lab mine "$@"

# Summarise a commit: just summ sha=abcd123
summ *args:
    @./lab summ "$@"

# Validate specs; without a path: every check there is.
check *args:
    @./lab check "$@"

# Make the locked environment; leaves .venv/bin/timelab.
setup:
    @./lab setup

# Try it all in a scratch repository.
demo *args:
    @./lab demo "$@"

# Lint, then every test.
test *args:
    @./lab test "$@"

# The tests that take no minutes.
test-fast *args:
    @./lab test-fast "$@"

# ruff, mypy, shellcheck, schemas, docs.
lint:
    @./lab lint

# Let ruff format and mend.
fix:
    @./lab fix

# Write the generated pages.
docs *args:
    @./lab docs "$@"

# Say whether a generated page, link or recording is stale.
docs-check:
    @./lab docs-check

# Measure; --peers: beside DataLad, DVC, redun, Snakemake.
bench *args:
    @./lab bench "$@"

# What the CI does.
ci:
    @./lab ci
