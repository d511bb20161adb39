# SPDX-License-Identifier: Apache-2.0
# Memory on both sides of 4 GiB: the same kernels with 6 GiB. x86-64 has a hole below, arm64 has not.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../linux-view.sh"

# Linux gives programs memory of the zone Normal first, which begins at 4 GiB on either architecture:
# a file in memory says whether that is memory.
# shellcheck disable=SC2016 # expanded in the guest
TOUCH='
normal() { awk -v key="$1" "/^Node/ { on = \$4 == \"Normal\" } on && \$1 == key { print \$2; exit }" /proc/zoneinfo; }
free() { awk "/^Node/ { on = \$4 == \"Normal\" } on && /pages free/ { print \$3; exit }" /proc/zoneinfo; }
echo "START $(normal start_pfn:)"
before=$(free)
dd if=/dev/urandom of=/tmp/file bs=1M count=16 2>/dev/null
i=0
while [ $i -lt 16 ]; do cat /tmp/file; i=$((i + 1)); done >/tmp/big
echo "TAKEN $(((before - $(free)) / 256))"
while [ $i -gt 0 ]; do
    i=$((i - 1))
    dd if=/tmp/big bs=16M skip=$i count=1 2>/dev/null | cmp - /tmp/file && same=$((same + 1))
done
echo "SAME $same"
'

check_touch() {
    guest "mount -o remount,size=3G /tmp$TOUCH" --cpus 1 --memory 6G
    assert_status 0
    assert_equal "the first page of the zone Normal" "$(said_number START)" $((4 << 18))
    assert_between "MiB that a file of 256 MiB took above 4 GiB" "$(said_number TAKEN)" 250 300
    assert_equal "the number of parts with what was written" "$(said_number SAME)" 16
}

said_number() { tr -d '\r' <"$KV_OUTPUT" | sed -n "s/^$1 //p"; }

for kernel in $GUEST_KERNELS; do
    long_test "$kernel-2-cpus-6G" check_boot "$kernel" 2 6144
done
long_test 6.12-1-cpus-6G check_boot 6.12 1 6144
run_test 6.12-4-cpus-6G check_boot 6.12 4 6144
run_test touched-above-4G check_touch
