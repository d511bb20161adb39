# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by every script of the project: where things are, how to talk to the user, how to end.

KVMLET_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
KVMLET_BUILD=$KVMLET_ROOT/build
export KVMLET_ROOT KVMLET_BUILD
# sbin holds depmod, modprobe and mkfs.ext4, which a plain user's PATH lacks. The system's own
# tools come first: a python3 or a cmake of a version manager is not what the packages provide.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
# Debian's C.UTF-8 exists everywhere; messages of tools are parsed in places.
export LC_ALL=C.UTF-8

# Exit statuses, kvmlet's own.
export EX_USAGE=64       # bad usage
export EX_UNAVAILABLE=69 # the host lacks something
export EX_SOFTWARE=70    # an internal error

# say TEXT...: progress for a person. Never on stdout: that belongs to the command's own output.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# die STATUS TEXT...: one clear line, then the documented status.
die() {
    local status=$1
    shift
    say "error: $*"
    exit "$status"
}

# usage: prints the comment block under a script's first line ("# Usage: ...") as its help.
usage() { sed -n '/^# Usage:/,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"; }

# usage_error TEXT...
usage_error() {
    say "error: $* (try ${0##*/} --help)"
    exit "$EX_USAGE"
}

# need_value FLAG COUNT: a flag that takes a value must be followed by one.
need_value() { [ "$2" -ge 2 ] || usage_error "$1 needs a value"; }

# machine_arch: this machine's, in the words of --arch.
machine_arch() {
    case $(uname -m) in
        aarch64) echo arm64 ;;
        *) uname -m ;;
    esac
}

# host_arch: the same of the machine that builds: in the lab, that is the one outside.
host_arch() {
    if [ -n "${LAB_HOST_ARCH:-}" ]; then echo "$LAB_HOST_ARCH"; else machine_arch; fi
}

# debian_arch ARCH: the same in Debian's words.
debian_arch() {
    case $1 in
        x86_64) echo amd64 ;;
        *) echo "$1" ;;
    esac
}

# check_arch ARCH: one that kvmlet can be built for here.
check_arch() {
    case $1 in
        x86_64 | arm64) ;;
        *) usage_error "unknown architecture '$1': x86_64 or arm64" ;;
    esac
    [ "$1" = arm64 ] || [ "$1" = "$(host_arch)" ] ||
        die "$EX_UNAVAILABLE" "$1 is built and tested on $1 machines only"
}

# build_folder ARCH: where the release build for ARCH is.
build_folder() {
    if [ "$1" = "$(host_arch)" ]; then echo "$KVMLET_BUILD/release"; else echo "$KVMLET_BUILD/$1"; fi
}

# kvmlet_binary ARCH: the program that 'scripts/build --arch ARCH' makes.
kvmlet_binary() {
    if [ "$1" = "$(host_arch)" ]; then echo "$KVMLET_BUILD/kvmlet"; else echo "$KVMLET_BUILD/$1/kvmlet"; fi
}

# as_root COMMAND...: runs it as root, through sudo for a plain user.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "$EX_UNAVAILABLE" "root is needed to run '$1' and sudo is not installed: run scripts/setup as root"
    fi
}

# quietly LOG COMMAND...: keeps the output in LOG; shows its end when the command fails.
quietly() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 </dev/null && return 0
    local status=$?
    tail -n 20 "$log" >&2
    say "error: '$1' failed (status $status), whole output in ${log#"$KVMLET_ROOT"/}"
    return "$status"
}

# with_lock NAME COMMAND...: one process at a time for things made under build/.
with_lock() {
    local name=$1 fd status=0
    shift
    mkdir -p "$KVMLET_BUILD/locks"
    exec {fd}>"$KVMLET_BUILD/locks/$name"
    if ! flock -n "$fd"; then
        say "waiting for another process that holds build/locks/$name"
        flock "$fd"
    fi
    "$@" {fd}>&- || status=$?
    exec {fd}>&-
    return "$status"
}

# publish_dir NEW FINAL: replaces a directory in one step, so that an interrupted run leaves no half of one.
publish_dir() {
    rm -rf "$2.old"
    [ ! -e "$2" ] || mv "$2" "$2.old"
    mv "$1" "$2"
    rm -rf "$2.old"
}
