// Package composetest holds the tests of docker-compose.yml and what it mounts.
// They have the build tag compose, since they need a Docker engine in which the
// files are up: scripts/compose-test.sh (make compose-test) sees to that.
package composetest
