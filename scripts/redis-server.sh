#!/bin/sh
# Prints the absolute path of a runnable redis-server (Redis 7.0+, or Valkey).
#
# It takes the one on PATH if that is new enough. Otherwise, where there is
# apt-get, it unpacks the distribution's packages into .cache/redis without
# installing them, since an install would start a daemon; redis-cli and
# redis-benchmark are then beside redis-server. Where neither works it exits
# with 1 and says on one line of stderr what to install.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cache=$root/.cache/redis

# usable FILE: it runs here, and is version 7.0 or newer.
usable() {
	# Both print "... server v=7.0.15 sha=...".
	version=$("$1" --version 2>/dev/null) || return 1
	major=$(printf '%s\n' "$version" | sed -n 's/.* v=\([0-9][0-9]*\)\..*/\1/p')
	[ "${major:-0}" -ge 7 ]
}

fail() {
	printf 'redis-server 7.0 or newer is needed: %s\n' "$1" >&2
	exit 1
}

# download DIR OPTION...: gets redis-tools, which holds the server's binary,
# and those of its dependencies that this system lacks, into DIR.
download() {
	dir=$1
	shift
	(
		cd "$dir"
		plan=$(apt-get "$@" --simulate --no-install-recommends install redis-tools) || exit
		# shellcheck disable=SC2046 # one word for each package
		apt-get "$@" download $({
			echo redis-tools
			printf '%s\n' "$plan" | sed -n 's/^Inst \([^ ]*\).*/\1/p'
		} | sort -u)
	) >>"$dir/log" 2>&1
}

# wrapper DIR NAME BINARY: writes DIR/NAME, which runs BINARY of the unpacked
# tree with the libraries unpacked beside it, wherever DIR is moved to.
wrapper() {
	cat >"$1/$2" <<-END
		#!/bin/sh
		here=\${0%/*}/root
		for lib in "\$here"/usr/lib/*-linux-gnu* "\$here"/lib/*-linux-gnu*; do
			LD_LIBRARY_PATH=\$lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
		done
		export LD_LIBRARY_PATH
		exec "\$here/usr/bin/$3" "\$@"
	END
	chmod +x "$1/$2"
}

for name in redis-server valkey-server; do
	if path=$(command -v "$name") && usable "$path"; then
		printf '%s\n' "$path"
		exit
	fi
done

if usable "$cache/redis-server"; then
	printf '%s\n' "$cache/redis-server"
	exit
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	case $(uname -s) in
	Darwin) fail 'brew install redis' ;;
	Linux)
		if command -v dnf >/dev/null; then fail 'dnf install valkey'; fi
		if command -v apk >/dev/null; then fail 'apk add redis'; fi
		if command -v pacman >/dev/null; then fail 'pacman -S valkey'; fi
		if command -v zypper >/dev/null; then fail 'zypper install redis'; fi
		;;
	esac
	fail 'install Redis or Valkey and put redis-server on PATH'
fi

# Everything happens in a directory of our own and appears by one rename, so
# that two runs at once, or one that is interrupted, leave nothing half done.
if ! mkdir -p "$root/.cache" 2>/dev/null || ! [ -w "$root/.cache" ]; then
	fail "make $root/.cache writable, or apt-get install redis-server"
fi
tmp=$(mktemp -d "$root/.cache/redis.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$tmp/debs" "$tmp/new" "$tmp/new/root"

# First with the package lists that are here; if there are none, or they are
# out of date, with fresh ones of our own, which needs no root.
export LC_ALL=C
user=APT::Sandbox::User=root # root would hand the files over to _apt, which cannot write here
if ! download "$tmp/debs" -o "$user"; then
	rm -f "$tmp"/debs/*.deb
	mkdir -p "$tmp/lists/partial" "$tmp/apt/archives/partial"
	set -- -o "$user" -o Dir::State::Lists="$tmp/lists" -o Dir::Cache="$tmp/apt"
	if ! apt-get "$@" update >>"$tmp/debs/log" 2>&1 || ! download "$tmp/debs" "$@"; then
		reason=$(sed -n 's/^E: //p' "$tmp/debs/log" | tail -n 1)
		fail "apt-get install redis-server (it could not be unpacked into .cache: ${reason:-apt-get failed})"
	fi
fi

for deb in "$tmp"/debs/*.deb; do
	dpkg-deb -x "$deb" "$tmp/new/root" 2>>"$tmp/debs/log" ||
		fail "apt-get install redis-server (${deb##*/} could not be unpacked into .cache)"
done
# The server, redis-check-rdb and redis-check-aof are one binary that goes by
# its name; redis-server itself is a link in a package that holds the daemon.
bin=$tmp/new/root/usr/bin
[ -e "$bin/redis-server" ] || ln -s redis-check-rdb "$bin/redis-server"
for name in redis-server redis-cli redis-benchmark; do
	wrapper "$tmp/new" "$name" "$name"
done
usable "$tmp/new/redis-server" ||
	fail "apt offers ${version:-one that does not run here}; install a newer one, see https://redis.io/docs/latest/operate/oss_and_stack/install/"

# A cached one that does not run makes way; a working one is another run's.
if [ -e "$cache" ] && ! usable "$cache/redis-server"; then
	mv -T "$cache" "$tmp/old" 2>/dev/null || :
fi
mv -T "$tmp/new" "$cache" 2>/dev/null || usable "$cache/redis-server" ||
	fail "$cache cannot be written; remove it or install redis-server"
printf '%s\n' "$cache/redis-server"
