// Package clientstest has clients that nobody here wrote use three replicas, each
// request of which goes to one drawn by lot, while replicas are killed. Its tests
// have the build tag long, since they need npm.
package clientstest
