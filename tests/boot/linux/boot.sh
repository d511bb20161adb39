# SPDX-License-Identifier: Apache-2.0
# Debian's kernels of every kind reach userspace with 1, 2 and 4 CPUs and 256 MiB, and see the machine
# that was asked for.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../linux-view.sh"

for kernel in $GUEST_KERNELS; do
    for cpus in 1 2 4; do
        # Of the other kernels one number of CPUs is enough for every change.
        if [ "$kernel" = 6.12 ] || [ "$cpus" = 2 ]; then
            run_test "$kernel-$cpus-cpus-256M" check_boot "$kernel" "$cpus" 256
        else
            long_test "$kernel-$cpus-cpus-256M" check_boot "$kernel" "$cpus" 256
        fi
    done
done
