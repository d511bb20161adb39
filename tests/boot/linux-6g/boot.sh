# SPDX-License-Identifier: Apache-2.0
# Memory on both sides of the hole below 4 GiB: the same kernels with 6 GiB.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../linux-view.sh"

for kernel in 6.12 6.1-cloud vmlinux-6.12; do
    run_test "$kernel-2-cpus-6G" check_boot "$kernel" 2 6144
done
run_test 6.12-1-cpus-6G check_boot 6.12 1 6144
run_test 6.12-4-cpus-6G check_boot 6.12 4 6144
