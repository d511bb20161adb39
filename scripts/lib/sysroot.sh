# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The root file system of an arm64 Debian for machines of another kind: what the cross compiler links
# (-dev packages of two architectures cannot be installed side by side), the lab's user space, and the
# programs of the guest images. Unpacked packages in build/sysroot/ARCH; nothing of them is set up.
# Needs common.sh, apt.sh and packages.sh.

CROSS_COMPILER=aarch64-linux-gnu-g++

# sysroot ARCH: prints the directory, made when it is not there or its list of packages has changed.
sysroot() {
    local dir=$KVMLET_BUILD/sysroot/$1 version
    version=$("$CROSS_COMPILER" -dumpversion) || die "$EX_UNAVAILABLE" "no $CROSS_COMPILER: run scripts/setup"
    # shellcheck disable=SC2046 # one word a package
    debian_root "$dir" "$1" libc6-dev linux-libc-dev "libstdc++-${version%%.*}-dev" \
        $(list_words "$LIBRARIES $LAB_PACKAGES")
    printf '%s\n' "$dir"
}

# user_space ARCH: prints the root directory whose programs run on ARCH; nothing where that is '/'.
user_space() { [ "$1" = "$(host_arch)" ] || sysroot "$1"; }
