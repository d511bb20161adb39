# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The lab's initial RAM file system: busybox, a few modules, scripts/lib/lab/{init,agent}.
# Needs common.sh, apt.sh and kernels.sh.

LAB_SOURCES=$KVMLET_ROOT/scripts/lib/lab

# lab_image_make TREE IMAGE ROOT: with the busybox of the root directory that is the lab's user space.
lab_image_make() {
    local tree=$1 image=$2 root=$3 work module
    work=$(mktemp -d "$KVMLET_BUILD/lab/image.XXXXXX")
    mkdir -p "$work"/{bin,proc,sys,dev,modules}
    cp "$root/bin/busybox" "$work/bin/busybox"
    install -m 755 "$LAB_SOURCES/init" "$work/init"
    install -m 755 "$LAB_SOURCES/agent" "$work/agent"
    # shellcheck disable=SC2046 # one word a module
    module_closure "$tree" $(grep -v '^#' "$LAB_SOURCES/modules") >"$work/paths"
    while read -r module; do
        cp "$module" "$work/modules/"
        basename "$module" >>"$work/modules/order"
    done <"$work/paths"
    rm "$work/paths"
    (cd "$work" && find . -mindepth 1 | cpio -o -H newc --quiet -R 0:0) >"$image.new"
    rm -rf "$work"
    mv "$image.new" "$image"
}

# lab_image ARCH VERSION ROOT: prints the image, made when it is missing or older than its sources.
lab_image() {
    local tree image source
    tree=$(kernel_tree "$1" "$2")
    image=$KVMLET_BUILD/lab/$1/initrd-$2.img
    mkdir -p "$(dirname "$image")"
    for source in "$tree/release" "$3/bin/busybox" "$LAB_SOURCES"/{init,agent,modules}; do
        if [ ! "$image" -nt "$source" ]; then
            with_lock lab-image lab_image_make "$tree" "$image" "$3" >&2
            break
        fi
    done
    printf '%s\n' "$image"
}
