# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A QEMU that has SR-IOV devices (8.0 or newer), for the lab and for side-by-side measurements.
# Needs common.sh and apt.sh.
#
# The machine's own QEMU serves when it is new enough. Otherwise the newer one, with those of its
# libraries that the machine lacks, is unpacked under build/: installing a package of another suite
# would replace the QEMU that the user has chosen, and would need root.

QEMU_DIR=$KVMLET_BUILD/lab/qemu
QEMU_MIN_MAJOR=8

# qemu_is_usable PROGRAM: it starts (all libraries are there) and is new enough.
qemu_is_usable() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\)\..*/\1/p')
    [ -n "$version" ] && [ "$version" -ge "$QEMU_MIN_MAJOR" ]
}

# qemu_wrapper DIR: a starter that lets the unpacked QEMU find its libraries, wherever it lies.
qemu_wrapper() {
    cat >"$1/qemu-system-x86_64" <<'EOF'
#!/bin/sh
# Starts the QEMU that is unpacked beside this file.
here=$(dirname "$(readlink -f "$0")")
lib=$here/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH="$lib:$here/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export QEMU_MODULE_DIR="$lib/qemu"
exec "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" \
    -L "$here/usr/lib/ipxe/qemu" "$@"
EOF
    chmod +x "$1/qemu-system-x86_64"
}

qemu_make() {
    local new=$QEMU_DIR.new
    ! qemu_is_usable "$QEMU_DIR/qemu-system-x86_64" || return 0
    apt_ready "$(host_arch)"
    say "fetching QEMU for the lab (about 16 MB)"
    rm -rf "$new" "$new.debs"
    apt_fetch_all "$(host_arch)" "$new.debs" --target-release "$(newer_suite)" qemu-system-x86
    unpack_debs "$new" "$new".debs/*.deb
    rm -rf "$new.debs"
    qemu_wrapper "$new"
    qemu_is_usable "$new/qemu-system-x86_64" ||
        die "$EX_UNAVAILABLE" "the downloaded QEMU does not start: $("$new/qemu-system-x86_64" --version 2>&1 | head -n 1)"
    publish_dir "$new" "$QEMU_DIR"
}

# lab_qemu: prints the program to start.
lab_qemu() {
    local own
    own=$(command -v qemu-system-x86_64 || true)
    if [ -n "$own" ] && qemu_is_usable "$own"; then
        printf '%s\n' "$own"
        return
    fi
    if ! qemu_is_usable "$QEMU_DIR/qemu-system-x86_64"; then
        with_lock qemu qemu_make >&2
    fi
    printf '%s\n' "$QEMU_DIR/qemu-system-x86_64"
}
