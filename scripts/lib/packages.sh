# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Every Debian package that the project needs, and why. A|B: whichever of the two the release has.

# What kvmlet and its tests link: needed for every architecture that it is built for.
LIBRARIES="
    libabsl-dev libgflags-dev libgoogle-glog-dev liburing-dev nlohmann-json3-dev  # what kvmlet links
    libunwind-dev liblzma-dev       # what a static libglog links
    libzstd-dev liblz4-dev zlib1g-dev   # compressed guest kernels
    libfdt-dev                      # device trees
    libgtest-dev libgmock-dev       # unit tests
"

TOOLS="
    g++ cmake ninja-build ccache    # compiler, build system; ccache makes rebuilds of another preset cheap
    binutils                        # readelf, which reads core files in the tests
    device-tree-compiler            # dtc, which reads every device tree in the tests
    clang libclang-rt-14-dev|libclang-rt-dev clang-format clang-tidy  # fuzz targets, style checks
    acpica-tools                    # iasl, which reads every ACPI table in the tests
    gdb python3                     # real clients in the tests; the lab's runner
    python3-drgn                    # opens core files in the tests
    busybox-static cpio kmod        # guest images and the lab's
    pciutils e2fsprogs numactl      # programs in the guest images; file systems of the tests
    xz-utils zstd lz4 bzip2         # kernels and modules in Debian's packages
    iproute2 passt                  # tap and passt networks
    strace tmux                     # tests of system calls, of a real terminal
    bc bison flex libelf-dev make   # the lab's kernel with IOMMUFD
    ca-certificates debian-archive-keyring  # fetching Debian's packages
"

# For building and unit-testing arm64 on another machine.
CROSS_TOOLS="
    g++-aarch64-linux-gnu           # the compiler; its libraries are unpacked into build/sysroot
    qemu-user-static|qemu-user      # runs what it has built
"

# The user space of the lab of another architecture, and the programs of its guest images.
LAB_PACKAGES="
    base-files base-passwd bash dash coreutils libc-bin ncurses-base hostname debianutils
    util-linux mount procps kmod iproute2 sed grep mawk findutils diffutils tar gzip cpio
    busybox-static pciutils e2fsprogs numactl device-tree-compiler binutils gdb passt python3 strace tmux
"
PACKAGES="$LIBRARIES $TOOLS"
[ "$(host_arch)" = arm64 ] || PACKAGES="$PACKAGES $CROSS_TOOLS"

# list_words TEXT: its words, one a line, without the comments.
list_words() { printf '%s\n' "$1" | sed 's/#.*//' | tr -s ' \t' '\n' | grep .; }

# package_list: one package (or A|B) a line.
package_list() { list_words "$PACKAGES"; }

# missing_packages: those of the list that are not installed, in one query.
missing_packages() {
    local installed entry name found
    # Purely virtual or unknown names make dpkg-query complain; they count as missing.
    # shellcheck disable=SC2046 # one word a package
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $(package_list | tr '|' ' ') 2>/dev/null |
        sed -n 's/^installed //p')
    for entry in $(package_list); do
        found=
        for name in ${entry//|/ }; do
            case $'\n'$installed$'\n' in
                *$'\n'"$name"$'\n'*) found=yes ;;
            esac
        done
        [ -n "$found" ] || printf '%s\n' "$entry"
    done
}
