# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian kernels, unpacked with their modules into build/kernels/ARCH/VERSION:
#   vmlinuz   release (the text of uname -r)   lib/modules/RELEASE (uncompressed modules)
# Needs common.sh and apt.sh.

# The versions that are offered; the first one is the default.
KERNEL_VERSIONS="6.12 6.1-cloud"

# Parts of Debian's kernel packages that no virtual machine here can use: left out, they are half of the size.
KERNEL_PRUNE="sound drivers/gpu drivers/media drivers/net/wireless drivers/staging drivers/iio
    drivers/infiniband drivers/isdn drivers/hid drivers/bluetooth drivers/comedi drivers/usb"

# kernel_meta_package VERSION: the Debian package that depends on the newest build of that version.
kernel_meta_package() {
    case $1 in
        6.12) printf 'linux-image-amd64/%s\n' "$(newer_suite)" ;;
        6.1-cloud) printf 'linux-image-cloud-amd64/bookworm\n' ;;
        *) usage_error "unknown kernel '$1': one of $KERNEL_VERSIONS" ;;
    esac
}

# kernel_packages VERSION: the packages that hold the image and the modules.
kernel_packages() {
    local meta image
    meta=$(kernel_meta_package "$1") || exit
    image=$(apt_private apt-cache depends "$meta" | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
    case $image in
        linux-image-"${1%%-*}".*) ;;
        *) die "$EX_UNAVAILABLE" "Debian's $meta is '${image:-nothing}', not a ${1%%-*} kernel" ;;
    esac
    printf '%s\n' "$image"
    # Newer packages keep modules and image apart.
    apt_private apt-cache depends "$image" | sed -n 's/.*Depends: \(linux-\(modules\|binary\)-[0-9][^ ]*\).*/\1/p'
}

# kernel_unpack VERSION DIR
kernel_unpack() {
    local version=$1 dir=$2 release packages module
    packages=$(kernel_packages "$version") || exit
    # shellcheck disable=SC2086 # one word a package
    apt_fetch "$dir/debs" $packages
    say "unpacking kernel $version"
    unpack_debs "$dir/root" "$dir"/debs/*.deb
    rm -rf "$dir/debs"
    mkdir -p "$dir/lib/modules"
    # Symbolic links and a merged /usr make both places possible.
    for module in "$dir"/root/lib/modules/* "$dir"/root/usr/lib/modules/*; do
        [ ! -d "$module" ] || mv "$module" "$dir/lib/modules/"
    done
    release=$(basename "$dir"/lib/modules/*)
    printf '%s\n' "$release" >"$dir/release"
    if [ -f "$dir/root/boot/vmlinuz-$release" ]; then
        mv "$dir/root/boot/vmlinuz-$release" "$dir/vmlinuz"
    else
        mv "$dir/lib/modules/$release/vmlinuz" "$dir/vmlinuz"
    fi
    rm -rf "$dir/root"
    for module in $KERNEL_PRUNE; do
        rm -rf "$dir/lib/modules/$release/kernel/$module"
    done
    # An emulated machine would take seconds to decompress what it loads.
    find "$dir/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r -P "$(nproc)" -n 64 xz -dq
    find "$dir/lib/modules" -name '*.ko.zst' -print0 | xargs -0 -r -P "$(nproc)" -n 64 zstd -dq --rm
    depmod -b "$dir" "$release" 2>/dev/null
}

# kernel_make VERSION FINAL: fetches and unpacks, unless it is there.
kernel_make() {
    [ ! -f "$2/release" ] || return 0
    apt_ready
    say "fetching Debian's kernel $1 (about 100 MB for 6.12, 30 MB for 6.1-cloud)"
    rm -rf "$2.new"
    kernel_unpack "$1" "$2.new"
    publish_dir "$2.new" "$2"
}

# kernel_tree ARCH VERSION: prints the directory, made when it is not there yet.
kernel_tree() {
    local dir=$KVMLET_BUILD/kernels/$1/$2
    if [ ! -f "$dir/release" ]; then
        kernel_meta_package "$2" >/dev/null
        with_lock kernels kernel_make "$2" "$dir" >&2
    fi
    printf '%s\n' "$dir"
}

# module_closure TREE MODULE...: paths of the modules and all they need, in loading order.
# Modules that are built into the kernel, or that this kernel does not have, are left out.
module_closure() {
    local tree=$1 release module
    shift
    release=$(cat "$tree/release")
    for module; do
        modprobe -d "$tree" -S "$release" --show-depends "$module" 2>/dev/null || true
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}
