# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The libraries that an arm64 kvmlet links, unpacked into build/sysroot/arm64 for the cross compiler:
# Debian's -dev packages of two architectures cannot be installed side by side.
# Needs common.sh, apt.sh and packages.sh.

CROSS_COMPILER=aarch64-linux-gnu-g++

# sysroot ARCH: prints the directory, made when it is not there or its list of packages has changed.
sysroot() {
    local dir=$KVMLET_BUILD/sysroot/$1 version
    version=$("$CROSS_COMPILER" -dumpversion) || die "$EX_UNAVAILABLE" "no $CROSS_COMPILER: run scripts/setup"
    # shellcheck disable=SC2046 # one word a package
    debian_root "$dir" "$1" libc6-dev linux-libc-dev "libstdc++-${version%%.*}-dev" $(list_words "$LIBRARIES")
    printf '%s\n' "$dir"
}
