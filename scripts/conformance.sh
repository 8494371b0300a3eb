#!/bin/sh
# Runs the official MCP conformance suite with the Node.js that it needs, both
# unpacked from npm into .cache/conformance. Nothing is installed.
#
#   scripts/conformance.sh SUITE server --url URL -o DIR ...
#
# SUITE is one of the versions below: 0.1.16 tests what was released by
# 2025-11-25 (--suite all --spec-version 2025-11-25), 0.2.0-alpha.12 also
# 2026-07-28 (--requirements 2025-11-25 or 2026-07-28; see its requirements/ for
# what a revision demands). DIR gets a checks.json for each scenario, in a folder
# server-SCENARIO-TIME: a list of checks with id, status (SUCCESS, FAILURE,
# WARNING, SKIPPED, INFO) and errorMessage. Not for ports that fetch blocks, such
# as 3659.
set -eu

node=22.23.3

suite=${1:-}
case $suite in
0.1.16 | 0.2.0-alpha.12) shift ;;
*)
	echo 'usage: conformance.sh 0.1.16|0.2.0-alpha.12 ARGUMENT...' >&2
	exit 2
	;;
esac

cache=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)/.cache/conformance
dir=$cache/$suite-$node

if [ ! -d "$dir" ]; then
	command -v npm >/dev/null || { echo 'conformance.sh: npm is needed: install Node.js' >&2; exit 1; }
	mkdir -p "$cache"
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	npm install --prefix "$new" --no-save --no-package-lock --no-audit --no-fund --loglevel=error \
		"@modelcontextprotocol/conformance@$suite" "node@$node" >&2
	chmod 755 "$new"
	# Whoever is first wins; the result is the same.
	mv -T "$new" "$dir" 2>/dev/null || [ -d "$dir" ]
	rm -rf "$new"
	trap - EXIT
fi
exec "$dir/node_modules/node/bin/node" "$dir/node_modules/@modelcontextprotocol/conformance/dist/index.js" "$@"
