# SPDX-License-Identifier: Apache-2.0
# RAM that the guest used once is mapped in huge pages, as KVM's own counters tell.
. "$(dirname "$0")/../lib.sh"

RAM_MIB=1024
# What the guest's programs can have of it.
USED_MIB=820

start_full() {
    grep -q '\[\(always\|madvise\)\]' /sys/kernel/mm/transparent_hugepage/enabled ||
        skip "this host has no transparent huge pages"
    guest_start "mkdir -p /full; mount -t tmpfs -o size=${USED_MIB}M tmpfs /full
        dd if=/dev/zero of=/full/file bs=1M count=$USED_MIB 2>/dev/null; echo READY; sleep 600" \
        --memory "${RAM_MIB}M" --qmp unix:vm.sock
    wait_for READY
}

end_full() {
    "$KVMLET" ctl vm.sock quit
    kv_wait
}

check_huge_ram() {
    local mapped huge
    start_full
    "$KVMLET" ctl vm.sock query-stats target=vm >stats
    end_full
    grep -E 'pages_(4k|2m|1g)' stats || skip "KVM counts no page sizes on this architecture"
    huge=$(awk '$3 == "pages_2m" { print $4 * 2 }' stats)
    mapped=$((huge + $(awk '$3 == "pages_4k" { print int($4 / 256) }' stats)))
    figure "$mapped of $RAM_MIB MiB are mapped, $huge MiB of them in pages of 2 MiB"
    assert_between "MiB that are mapped" "$mapped" "$USED_MIB" $((RAM_MIB + 64))
    assert_between "MiB in huge pages" "$huge" $((mapped * 95 / 100)) $((RAM_MIB + 64))
}

run_test huge-ram check_huge_ram
