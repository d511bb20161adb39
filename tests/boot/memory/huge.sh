# SPDX-License-Identifier: Apache-2.0
# RAM that the guest used once is mapped in huge pages: KVM's own counters tell on x86_64, on arm64 the
# number of faults that it took to map it.
. "$(dirname "$0")/../lib.sh"

RAM_MIB=1024
# What the guest's programs can have of it.
USED_MIB=820
KV_TIMEOUT=400s
TRACING=/sys/kernel/tracing
HUGE_PAGES=/sys/kernel/mm/transparent_hugepage/enabled
# RAM of an arm64 guest begins at 1 GiB.
RAM_FAULTS='ipa >= 0x40000000 && ipa < 0x80000000'

needs_huge_pages() {
    grep -q '\[\(always\|madvise\)\]' $HUGE_PAGES || skip "this host has no transparent huge pages"
}

start_full() {
    guest_start "mkdir -p /full; mount -t tmpfs -o size=${USED_MIB}M tmpfs /full
        dd if=/dev/zero of=/full/file bs=1M count=$USED_MIB 2>/dev/null; echo READY; sleep 600" \
        --memory "${RAM_MIB}M" --qmp unix:vm.sock
    wait_for READY "$KV_OUTPUT" 400
}

end_full() {
    "$KVMLET" ctl vm.sock quit
    kv_wait
}

check_huge_ram() {
    local mapped huge
    needs_huge_pages
    start_full
    "$KVMLET" ctl vm.sock query-stats target=vm >stats
    end_full
    grep -E 'pages_(4k|2m|1g)' stats || skip "this KVM counts no pages"
    huge=$(awk '$3 == "pages_2m" { print $4 * 2 }' stats)
    mapped=$((huge + $(awk '$3 == "pages_4k" { print int($4 / 256) }' stats)))
    figure "$mapped of $RAM_MIB MiB are mapped, $huge MiB of them in pages of 2 MiB"
    assert_between "MiB that are mapped" "$mapped" "$USED_MIB" $((RAM_MIB + 64))
    assert_between "MiB in huge pages" "$huge" $((mapped * 95 / 100)) $((RAM_MIB + 64))
}

# take_faults: FAULTS is how many a guest takes to use its RAM once, those that the trace has no room for too.
take_faults() {
    echo 1 >$TRACING/events/kvm/kvm_guest_fault/enable
    start_full
    FAULTS=$(cat $TRACING/per_cpu/cpu*/stats | awk '/^(entries|overrun):/ { n += $2 } END { print n }')
    end_full
    echo 0 >$TRACING/events/kvm/kvm_guest_fault/enable
    echo >$TRACING/trace
}

# A page of 2 MiB takes one fault, and 512 small ones take as many. A 20th of RAM in small pages is 13107 faults
# beside the 512, all that the program filled is 209920: the host is asked for that, too, to see it counted.
check_huge_faults() {
    needs_lab
    needs_huge_pages
    [ -d $TRACING/events ] || mount -t tracefs tracefs $TRACING
    [ -d $TRACING/events/kvm/kvm_guest_fault ] || skip "this KVM does not trace faults"
    echo "$RAM_FAULTS" >$TRACING/events/kvm/kvm_guest_fault/filter
    take_faults
    figure "$FAULTS faults for $RAM_MIB MiB, $USED_MIB MiB of them filled by a program:" \
        "at most $(((FAULTS - USED_MIB / 2) / 256)) MiB are in small pages"
    assert_between "faults of the guest in its RAM" "$FAULTS" $((USED_MIB / 2)) \
        $((RAM_MIB / 2 + RAM_MIB * 256 / 20))
    echo never >$HUGE_PAGES
    take_faults
    echo always >$HUGE_PAGES
    figure "$FAULTS faults on a host that has small pages only"
    assert_between "faults of small pages" "$FAULTS" $((USED_MIB * 256)) $((RAM_MIB * 512))
}

if [ "$PAGE_COUNTS" = yes ]; then
    run_test huge-ram check_huge_ram
else
    long_test huge-ram check_huge_faults
fi
