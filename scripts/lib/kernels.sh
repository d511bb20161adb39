# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian kernels, unpacked with their modules into build/kernels/ARCH/VERSION:
#   vmlinuz   release (the text of uname -r)   lib/modules/RELEASE (uncompressed modules)
#   symbols/  vmlinux and modules with their debug information, once kernel_symbols was asked for them
# Needs common.sh and apt.sh.

# kernel_versions ARCH: those that are offered; the first one is the default.
kernel_versions() {
    case $1 in
        arm64) echo "6.12 6.12-16k 6.1-cloud" ;; # 16k: pages of 16 KiB instead of 4
        *) echo "6.12 6.1-cloud" ;;
    esac
}

# Parts of Debian's kernel packages that no virtual machine here can use: left out, they are half of the size.
KERNEL_PRUNE="sound drivers/gpu drivers/media drivers/net/wireless drivers/staging drivers/iio
    drivers/infiniband drivers/isdn drivers/hid drivers/bluetooth drivers/comedi drivers/usb"

# lab_kernels ARCH: those that the lab can run: beside Debian's, one that is compiled (kernel-source.sh).
lab_kernels() {
    printf '%s' "$(kernel_versions "$1")"
    [ "$1" = arm64 ] || printf ' iommufd'
}

# check_lab_kernel ARCH VERSION
check_lab_kernel() {
    case " $(lab_kernels "$1") " in
        *" $2 "*) ;;
        *) usage_error "unknown kernel '$2': one of $(lab_kernels "$1")" ;;
    esac
}

# check_kernel ARCH VERSION: one that guests can run.
check_kernel() {
    case " $(kernel_versions "$1") " in
        *" $2 "*) ;;
        *) usage_error "unknown kernel '$2': one of $(kernel_versions "$1")" ;;
    esac
}

# kernel_meta_package ARCH VERSION: the Debian package that depends on the newest build of that version.
kernel_meta_package() {
    local arch
    arch=$(debian_arch "$1")
    case $2 in
        6.12) printf 'linux-image-%s/%s\n' "$arch" "$(newer_suite)" ;;
        6.12-16k) printf 'linux-image-%s-16k/%s\n' "$arch" "$(newer_suite)" ;;
        6.1-cloud) printf 'linux-image-cloud-%s/bookworm\n' "$arch" ;;
    esac
}

# kernel_packages ARCH VERSION: the packages that hold the image and the modules.
kernel_packages() {
    local meta image
    meta=$(kernel_meta_package "$1" "$2")
    image=$(apt_private "$1" apt-cache depends "$meta" |
        sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
    case $image in
        linux-image-"${2%%-*}".*) ;;
        *) die "$EX_UNAVAILABLE" "Debian's $meta is '${image:-nothing}', not a ${2%%-*} kernel" ;;
    esac
    printf '%s\n' "$image"
    # Newer packages keep modules and image apart.
    apt_private "$1" apt-cache depends "$image" | sed -n 's/.*Depends: \(linux-\(modules\|binary\)-[0-9][^ ]*\).*/\1/p'
}

# kernel_unpack ARCH VERSION DIR
kernel_unpack() {
    local arch=$1 version=$2 dir=$3 release packages module
    packages=$(kernel_packages "$arch" "$version") || exit
    # shellcheck disable=SC2086 # one word a package
    apt_fetch "$arch" "$dir/debs" $packages
    say "unpacking kernel $version for $arch"
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

# kernel_make ARCH VERSION FINAL: fetches and unpacks, unless it is there.
kernel_make() {
    [ ! -f "$3/release" ] || return 0
    rm -rf "$3.new"
    if [ "$2" = iommufd ]; then
        kernel_build "$1" "$3.new" "$3.work"
        publish_dir "$3.new" "$3"
        return
    fi
    apt_ready "$1"
    say "fetching Debian's kernel $2 for $1 (about 100 MB for 6.12, 30 MB for 6.1-cloud)"
    kernel_unpack "$1" "$2" "$3.new"
    publish_dir "$3.new" "$3"
}

# kernel_tree ARCH VERSION: prints the directory, made when it is not there yet.
kernel_tree() {
    local dir=$KVMLET_BUILD/kernels/$1/$2
    if [ ! -f "$dir/release" ]; then
        with_lock "kernel-$1-$2" kernel_make "$1" "$2" "$dir" >&2
    fi
    printf '%s\n' "$dir"
}

# symbols_fetch ARCH VERSION TREE MODULE...: Debian has the symbols of a kernel's newest build only.
symbols_fetch() {
    local arch=$1 version=$2 tree=$3 new=$3/symbols.new release package size debug
    shift 3
    [ ! -d "$tree/symbols" ] || return 0
    release=$(cat "$tree/release")
    package=linux-image-$release-dbg
    apt_ready "$arch"
    size=$(apt_private "$arch" apt-cache show "$package" 2>/dev/null | sed -n '/^Size: /{s///p;q}')
    [ -n "$size" ] || die "$EX_UNAVAILABLE" "Debian has no $package any more, or not yet:" \
        "remove ${tree#"$KVMLET_ROOT/"} and build/guest/$arch, and run guest-images/build --arch $arch for newer ones"
    say "fetching the symbols of Debian's kernel $version for $arch ($((size / 1000000)) MB)"
    rm -rf "$new"
    apt_fetch "$arch" "$new/debs" "$package"
    say "unpacking $package"
    debug=./usr/lib/debug
    module_closure "$tree" "$@" | sed "s|.*/lib/modules/|$debug/lib/modules/|" >"$new/members"
    echo "$debug/boot/vmlinux-$release" >>"$new/members"
    dpkg-deb --fsys-tarfile "$new"/debs/*.deb | tar -x -C "$new" --no-same-owner --transform='s|.*/||' -T "$new/members" ||
        die "$EX_SOFTWARE" "$package is not made of what it was made of so far, see above"
    mv "$new/vmlinux-$release" "$new/vmlinux"
    rm -rf "$new/debs" "$new/members"
    publish_dir "$new" "$tree/symbols"
}

# kernel_symbols ARCH VERSION MODULE...: prints the directory with the vmlinux and the modules, as NAME.ko, fetched
# when it is not there yet.
kernel_symbols() {
    local tree
    tree=$(kernel_tree "$1" "$2")
    [ -d "$tree/symbols" ] || with_lock "kernel-$1-$2" symbols_fetch "$1" "$2" "$tree" "${@:3}" >&2
    printf '%s\n' "$tree/symbols"
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
