// Package conformancetest runs the official MCP conformance suite against
// examples/everything, as one process and as three replicas. Its tests have the
// build tag long, since they need npm.
package conformancetest
