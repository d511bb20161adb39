# SPDX-License-Identifier: Apache-2.0
# NUMA nodes as the guest's own sysfs and numactl tell them, and the host's nodes behind them.
. "$(dirname "$0")/../lib.sh"

NODES='
cd /sys/devices/system/node
for node in node*; do
    echo "$node cpus=$(cat $node/cpulist) distance=$(cat $node/distance | tr " " :) kB=$(awk "/MemTotal/ { print \$4 }" $node/meminfo)"
done
numactl --hardware'

kilobytes() { sed -n "s/^node$1 .* kB=//p" "$KV_OUTPUT" | tr -d '\r'; }

check_nodes() {
    guest "$NODES" --cpus 3 --memory 768M --numa cpus=0:2,memory=512M,distances=10:31 \
        --numa cpus=1,memory=256M,distances=31:10
    assert_status 0
    assert_grep '^node0 cpus=0,2 distance=10:31 '
    assert_grep '^node1 cpus=1 distance=31:10 '
    # Less what the kernel takes for itself.
    assert_between "node 0's memory in kB" "$(kilobytes 0)" 400000 524288
    assert_between "node 1's memory in kB" "$(kilobytes 1)" 200000 262144
    assert_grep '^available: 2 nodes \(0-1\)'
    assert_grep '^node 0 cpus: 0 2$'
    assert_grep "^node 0 size: $(($(kilobytes 0) / 1024)) MB"
    assert_grep "^node 1 size: $(($(kilobytes 1) / 1024)) MB"
    assert_grep '^ +0: +10 +31 *$'
}

# Nodes of memory without vCPUs and the other way round.
check_odd_nodes() {
    guest "$NODES" --cpus 2 --memory 512M --numa cpus=0-1,memory=256M --numa memory=256M
    assert_status 0
    assert_grep '^node0 cpus=0-1 distance=10:20 '
    assert_grep '^node1 cpus= distance=20:10 '
    assert_between "node 1's memory in kB" "$(kilobytes 1)" 200000 262144
}

check_host_nodes() {
    guest_start 'echo READY; sleep 600' --memory 512M --qmp unix:vm.sock \
        --numa cpus=0,memory=256M,host-nodes=0 --numa memory=256M
    wait_for READY
    [ -r "/proc/$KV_PID/numa_maps" ] || skip "the host's kernel knows no NUMA"
    grep -E 'bind:0 anon' "/proc/$KV_PID/numa_maps" || fail "no memory is bound to node 0"
    "$KVMLET" ctl vm.sock quit
    kv_wait
    kv --kernel "$GUEST_DIR/vmlinuz-6.12" --memory 512M --numa cpus=0,memory=512M,host-nodes=0:63
    assert_status 69
    assert_grep 'host-nodes: the host has not all' "$KV_ERRORS"
}

run_test numa-nodes check_nodes
both_test numa-odd check_odd_nodes
run_test numa-host check_host_nodes
