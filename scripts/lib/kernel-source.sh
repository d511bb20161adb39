# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A kernel for the lab, compiled from Debian's source package with lib/lab/kernel-iommufd.config, in the place
# and of the form of those that kernels.sh unpacks. Needs common.sh, apt.sh and kernels.sh.

KERNEL_CONFIG=$KVMLET_ROOT/scripts/lib/lab/kernel-iommufd.config
# The suite that carries a kernel of 6.18.3 or newer, the first one that checks VF tokens on device files.
KERNEL_SUITE=trixie-backports

# kernel_source ARCH DIR: unpacks the newest source of the suite.
kernel_source() {
    local apt=$1/$KERNEL_SUITE dir=$2 package
    apt_ready "$apt"
    package=$(apt_private "$apt" apt-cache depends "linux-source/$KERNEL_SUITE" |
        sed -n 's/.*Depends: \(linux-source-[0-9.]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || die "$EX_UNAVAILABLE" "Debian's $KERNEL_SUITE has no linux-source"
    say "fetching Debian's $package (160 MB)"
    rm -rf "$dir" "$dir.new" "$dir.debs" "$dir.root"
    apt_fetch "$apt" "$dir.debs" "$package/$KERNEL_SUITE"
    unpack_debs "$dir.root" "$dir".debs/*.deb
    say "unpacking it"
    mkdir -p "$dir.new"
    tar -xf "$dir".root/usr/src/linux-source-*.tar.xz -C "$dir.new" --strip-components=1
    rm -rf "$dir.debs" "$dir.root"
    publish_dir "$dir.new" "$dir"
}

# kernel_configure SOURCE LOG: a configuration in which everything that was asked for has come to be.
kernel_configure() {
    local lost
    quietly "$2" make -C "$1" KCONFIG_ALLCONFIG="$KERNEL_CONFIG" allnoconfig || exit "$EX_SOFTWARE"
    lost=$(grep -v '^# [^C]' "$KERNEL_CONFIG" | grep CONFIG_ | grep -vxFf "$1/.config") || return 0
    die "$EX_SOFTWARE" "this kernel has not taken from ${KERNEL_CONFIG#"$KVMLET_ROOT"/}:" $lost
}

# kernel_compile SOURCE LOG: tells every minute how far it is.
kernel_compile() {
    local make status=0
    nice -n 10 make -C "$1" -j "$(nproc)" bzImage modules >"$2" 2>&1 </dev/null &
    make=$!
    while sleep 60 && kill -0 "$make" 2>/dev/null; do
        say "compiling the kernel: $(grep -c '^  CC' "$2") of about 1900 files"
    done &
    wait "$make" || status=$?
    kill "$!" 2>/dev/null || true
    [ "$status" = 0 ] || {
        grep -m 1 -B 5 -A 5 'Error\|error:' "$2" >&2
        die "$EX_SOFTWARE" "the kernel does not compile, whole output in ${2#"$KVMLET_ROOT"/}"
    }
}

# kernel_build ARCH DIR WORK: DIR is as kernel_unpack makes it. WORK is kept when it is interrupted, so that the
# next time goes on from there.
kernel_build() {
    local dir=$2 work=$3 tool release
    for tool in bc bison flex gcc make; do
        command -v "$tool" >/dev/null || die "$EX_UNAVAILABLE" "$tool is not installed: run scripts/setup"
    done
    [ -e /usr/include/libelf.h ] || die "$EX_UNAVAILABLE" "libelf-dev is not installed: run scripts/setup"
    mkdir -p "$work"
    [ -d "$work/source" ] || kernel_source "$1" "$work/source"
    kernel_configure "$work/source" "$work/configure.log"
    say "compiling it, which takes some ten minutes on two cores"
    kernel_compile "$work/source" "$work/compile.log"
    mkdir -p "$dir"
    release=$(make -s -C "$work/source" kernelrelease)
    quietly "$work/install.log" make -C "$work/source" INSTALL_MOD_PATH="$dir" modules_install || exit "$EX_SOFTWARE"
    rm -f "$dir/lib/modules/$release"/{build,source}
    cp "$work/source/arch/x86/boot/bzImage" "$dir/vmlinuz"
    printf '%s\n' "$release" >"$dir/release"
    rm -rf "$work"
}
