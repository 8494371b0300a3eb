#!/bin/sh
# Prints a directory in which the TypeScript MCP clients, of both major versions,
# are unpacked from npm into node_modules, and the Node.js to run them. It lies in
# .cache/clients; nothing is installed.
set -eu

v1=1.32.2 # @modelcontextprotocol/sdk
v2=2.4.0  # @modelcontextprotocol/client
node=22.23.3

cd "$(dirname "$0")/.."
dir=$PWD/.cache/clients/$v1-$v2-$node

if [ ! -d "$dir" ]; then
	command -v npm >/dev/null || { echo 'clients.sh: npm is needed: install Node.js' >&2; exit 1; }
	mkdir -p "$PWD/.cache/clients"
	new=$(mktemp -d "$PWD/.cache/clients/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	npm install --prefix "$new" --no-save --no-package-lock --no-audit --no-fund --loglevel=error \
		"@modelcontextprotocol/sdk@$v1" "@modelcontextprotocol/client@$v2" "node@$node" >&2
	chmod 755 "$new"
	# Whoever is first wins; the result is the same.
	mv -T "$new" "$dir" 2>/dev/null || [ -d "$dir" ]
	rm -rf "$new"
	trap - EXIT
fi
echo "$dir"
