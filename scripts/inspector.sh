#!/bin/sh
# Prints the path of the MCP Inspector's launcher, run by the Node.js that it
# needs, both unpacked from npm into .cache/inspector. Nothing is installed.
set -eu

inspector=2.12.0 # wants Node.js 22.19 or newer
node=22.23.3

cd "$(dirname "$0")/.."
dir=$PWD/.cache/inspector/$inspector-$node
run=$dir/inspector

if [ ! -x "$run" ]; then
	command -v npm >/dev/null || { echo 'inspector.sh: npm is needed: install Node.js' >&2; exit 1; }
	mkdir -p "$PWD/.cache/inspector"
	new=$(mktemp -d "$PWD/.cache/inspector/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	npm install --prefix "$new" --no-save --no-package-lock --no-audit --no-fund --loglevel=error \
		"@modelcontextprotocol/inspector@$inspector" "node@$node" >&2
	cat >"$new/inspector" <<-'RUN'
		#!/bin/sh
		here=$(dirname "$0")
		exec "$here/node_modules/node/bin/node" "$here/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js" "$@"
	RUN
	chmod +x "$new/inspector"
	chmod 755 "$new"
	# Whoever is first wins; the result is the same.
	mv -T "$new" "$dir" 2>/dev/null || [ -x "$run" ]
fi
echo "$run"
