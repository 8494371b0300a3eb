#!/usr/bin/env bash
# Builds and starts docker-compose.yml as it is, under a project name of its own,
# and runs integration/composetest against it, then with nginx as the balancer.
# Everything it made is removed at the end.
#
# It needs a Docker engine with compose 2, and 127.0.0.1:8080 (or PORT) free.
# Without an engine it says SKIPPED and succeeds, or fails if
# COMPOSE_TEST_STRICT=1.
#
# For an engine that has to be set up first:
#   COMPOSE_TEST_ENV  a shell file to source, which makes docker reach it
#   COMPOSE_TEST_IN   a command, perhaps a function of that file, in front of
#                     what has to reach the engine's published ports
set -eu

cd "$(dirname "$0")/.."

if [ -n "${COMPOSE_TEST_ENV:-}" ]; then
	# shellcheck disable=SC1090
	. "$COMPOSE_TEST_ENV"
fi

if ! docker info >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
	echo 'SKIPPED: no Docker engine with compose 2 answers; start one, or name a file that sets one up in COMPOSE_TEST_ENV'
	if [ "${COMPOSE_TEST_STRICT:-}" = 1 ]; then exit 1; fi
	exit 0
fi

tmp=$(mktemp -d)
export COMPOSE_PROJECT_NAME="mcpsession-test-$$"
export VERSION="v0.0.0-compose-test" # the test looks for it in the running server
unset ALLOWED_HOSTS ALLOWED_ORIGINS LOG_LEVEL COMPOSE_FILE COMPOSE_PROFILES

finish() {
	code=$?
	trap - EXIT
	if [ $code != 0 ]; then
		{
			docker compose ps --all
			docker compose logs --no-color --tail 100
		} >&2 || true
	fi
	docker compose down --volumes --rmi local --timeout 5 >"$tmp/log" 2>&1 || {
		cat "$tmp/log" >&2
		code=1
	}
	rm -rf "$tmp"
	exit $code
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# quietly COMMAND...: what it prints is shown if it fails.
quietly() {
	echo "+ $*"
	"$@" >"$tmp/log" 2>&1 || {
		cat "$tmp/log" >&2
		return 1
	}
}

(cd integration && quietly go test -c -tags compose -o "$tmp/composetest" ./composetest)

quietly docker compose up -d --build --wait
${COMPOSE_TEST_IN:-} "$tmp/composetest" -test.v -test.failfast -test.timeout 5m

quietly docker compose -f docker-compose.yml -f deploy/docker-compose.nginx.yml up -d --build --wait
${COMPOSE_TEST_IN:-} "$tmp/composetest" -test.v -test.failfast -test.timeout 5m -test.run 'Answer|EveryReplica|Stream'
