#!/bin/sh
# Prints the absolute path of a runnable balancer, haproxy (2.4+) or nginx (1.18+):
#
#   scripts/balancer.sh haproxy|nginx
#
# It takes the one on PATH if that is new enough. Otherwise, where there is
# apt-get, it unpacks the distribution's packages into .cache/haproxy or
# .cache/nginx without installing them, since an install would start a daemon.
# Where neither works it exits with 1 and says on one line of stderr what to do.
set -eu

name=${1:-}
case $name in
haproxy) minimum='2 4' ;;
nginx) minimum='1 18' ;;
*)
	echo 'usage: balancer.sh haproxy|nginx' >&2
	exit 2
	;;
esac

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cache=$root/.cache/$name

fail() {
	printf '%s %s or newer is needed: %s\n' "$name" "$(echo "$minimum" | tr ' ' .)" "$1" >&2
	exit 1
}

# usable FILE: it runs here and is new enough.
usable() {
	# "HAProxy version 2.6.12-1+deb12u3 2025/...", "nginx version: nginx/1.22.1"
	version=$("$1" -v 2>&1) || return 1
	version=$(printf '%s\n' "$version" | sed -n 's/.*version:* \(nginx\/\)*\([0-9][0-9]*\)\.\([0-9][0-9]*\).*/\2 \3/p' | head -n 1)
	# shellcheck disable=SC2086 # two words each
	set -- ${version:-0 0} $minimum
	[ "$1" -gt "$3" ] || { [ "$1" -eq "$3" ] && [ "$2" -ge "$4" ]; }
}

# download DIR OPTION...: gets the package, and those of its dependencies that
# this system lacks, into DIR.
download() {
	dir=$1
	shift
	(
		cd "$dir"
		plan=$(apt-get "$@" --simulate --no-install-recommends install "$name") || exit
		# shellcheck disable=SC2046 # one word for each package
		apt-get "$@" download $({
			echo "$name"
			printf '%s\n' "$plan" | sed -n 's/^Inst \([^ ]*\).*/\1/p'
		} | sort -u)
	) >>"$dir/log" 2>&1
}

# A balancer is where only root looks for programs.
for dir in $(printf '%s\n' "$PATH" | tr ':' ' ') /usr/local/sbin /usr/sbin; do
	if [ -x "$dir/$name" ] && usable "$dir/$name"; then
		printf '%s\n' "$dir/$name"
		exit
	fi
done

if usable "$cache/$name"; then
	printf '%s\n' "$cache/$name"
	exit
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	fail "install it and put it on PATH"
fi

# Everything happens in a directory of our own and appears by one rename, so
# that two runs at once, or one that is interrupted, leave nothing half done.
if ! mkdir -p "$root/.cache" 2>/dev/null || ! [ -w "$root/.cache" ]; then
	fail "make $root/.cache writable, or apt-get install $name"
fi
tmp=$(mktemp -d "$root/.cache/$name.XXXXXX")
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
		fail "apt-get install $name (it could not be unpacked into .cache: ${reason:-apt-get failed})"
	fi
fi

for deb in "$tmp"/debs/*.deb; do
	dpkg-deb -x "$deb" "$tmp/new/root" 2>>"$tmp/debs/log" ||
		fail "apt-get install $name (${deb##*/} could not be unpacked into .cache)"
done
# What is unpacked finds the libraries unpacked beside it, wherever that is.
cat >"$tmp/new/$name" <<END
#!/bin/sh
here=\${0%/*}/root
for lib in "\$here"/usr/lib/*-linux-gnu* "\$here"/lib/*-linux-gnu*; do
	LD_LIBRARY_PATH=\$lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "\$here/usr/sbin/$name" "\$@"
END
chmod +x "$tmp/new/$name"
chmod 755 "$tmp/new"
usable "$tmp/new/$name" || fail "apt offers ${version:-one that does not run here}; install a newer one"

# A cached one that does not run makes way; a working one is another run's.
if [ -e "$cache" ] && ! usable "$cache/$name"; then
	mv -T "$cache" "$tmp/old" 2>/dev/null || :
fi
mv -T "$tmp/new" "$cache" 2>/dev/null || usable "$cache/$name" ||
	fail "$cache cannot be written; remove it or install $name"
printf '%s\n' "$cache/$name"
