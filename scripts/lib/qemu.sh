# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A QEMU that has SR-IOV devices (8.0 or newer), for the lab and for side-by-side measurements.
# Needs common.sh and apt.sh. ARCH is what it emulates.
#
# The machine's own QEMU serves when it is new enough. Otherwise the newer one, with those of its
# libraries that the machine lacks, is unpacked under build/: installing a package of another suite
# would replace the QEMU that the user has chosen, and would need root.

QEMU_MIN_MAJOR=8

# qemu_name ARCH: the program; qemu_package ARCH: Debian's package of it.
qemu_name() {
    case $1 in
        arm64) echo qemu-system-aarch64 ;;
        *) echo "qemu-system-$1" ;;
    esac
}
qemu_package() {
    case $1 in
        arm64) echo qemu-system-arm ;;
        *) echo qemu-system-x86 ;;
    esac
}

# qemu_dir ARCH: where it is unpacked.
qemu_dir() { printf '%s\n' "$KVMLET_BUILD/lab/$1/qemu"; }

# qemu_is_usable PROGRAM: it starts (all libraries are there) and is new enough.
qemu_is_usable() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\)\..*/\1/p')
    [ -n "$version" ] && [ "$version" -ge "$QEMU_MIN_MAJOR" ]
}

# qemu_wrapper DIR NAME TRIPLET: a starter that lets the unpacked QEMU find its libraries, wherever it lies.
qemu_wrapper() {
    {
        printf '#!/bin/sh\n# Starts the QEMU that is unpacked beside this file.\nname=%s lib=%s\n' \
            "$2" "$3"
        cat <<'EOF'
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/usr/lib/$lib:$here/lib/$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export QEMU_MODULE_DIR="$here/usr/lib/$lib/qemu"
exec "$here/usr/bin/$name" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" \
    -L "$here/usr/lib/ipxe/qemu" "$@"
EOF
    } >"$1/$2"
    chmod +x "$1/$2"
}

# qemu_make ARCH
qemu_make() {
    local dir new host name
    dir=$(qemu_dir "$1") new=$dir.new host=$(host_arch) name=$(qemu_name "$1")
    ! qemu_is_usable "$dir/$name" || return 0
    apt_ready "$host"
    say "fetching QEMU for the $1 lab (about 16 MB)"
    rm -rf "$new" "$new.debs"
    apt_fetch_all "$host" "$new.debs" --target-release "$(newer_suite)" "$(qemu_package "$1")"
    unpack_debs "$new" "$new".debs/*.deb
    rm -rf "$new.debs"
    qemu_wrapper "$new" "$name" "$(uname -m)-linux-gnu"
    qemu_is_usable "$new/$name" ||
        die "$EX_UNAVAILABLE" "the downloaded QEMU does not start: $("$new/$name" --version 2>&1 | head -n 1)"
    publish_dir "$new" "$dir"
}

# lab_qemu ARCH: prints the program to start.
lab_qemu() {
    local own dir name
    dir=$(qemu_dir "$1") name=$(qemu_name "$1")
    own=$(command -v "$name" || true)
    if [ -n "$own" ] && qemu_is_usable "$own"; then
        printf '%s\n' "$own"
        return
    fi
    if ! qemu_is_usable "$dir/$name"; then
        with_lock "qemu-$1" qemu_make "$1" >&2
    fi
    printf '%s\n' "$dir/$name"
}

# peer_qemu ARCH: prints the QEMU to compare with: one that runs on ARCH, in the lab where that is not here.
peer_qemu() {
    local dir=$KVMLET_BUILD/bench/$1/qemu name
    if [ "$1" = "$(host_arch)" ]; then
        lab_qemu "$1"
        return
    fi
    name=$(qemu_name "$1")
    debian_root "$dir" "$1" --target-release "$(newer_suite)" "$(qemu_package "$1")"
    # The C library has to be of the same build as the dynamic linker: it is the lab's.
    find "$dir/usr/lib" -regex '.*/lib\(c\|m\|dl\|rt\|pthread\|resolv\|util\)\.so\.[0-9]+' -delete
    qemu_wrapper "$dir" "$name" aarch64-linux-gnu
    printf '%s\n' "$dir/$name"
}
