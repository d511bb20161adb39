# SPDX-License-Identifier: Apache-2.0
# Memory devices of NUMA nodes, each grown and shrunk by itself; the guest's numactl and its sysfs tell
# what its nodes have.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=600s

# shellcheck disable=SC2016 # expanded in the guest
TELL_NODES='
cd /sys/devices/system/node
size() { awk "/MemTotal/ { print int(\$4 / 1024) }" "node$1/meminfo" 2>/dev/null || echo 0; }
numactl --hardware
while :; do
    echo "NODES $(size 0) $(size 1) $(size 2)"
    echo "NUMACTL $(numactl --hardware | awk "/^node [0-9]+ size:/ { size[\$2] = \$4 } END { print size[0] + 0, size[1] + 0, size[2] + 0 }")"
    sleep 0.5
done'

# tells WORD A B C: until the guest does, last.
tells() {
    local left=600
    until [ "$(grep -o "^$1 [0-9 ]*" "$KV_OUTPUT" | tail -n 1)" = "$*" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest tells $(grep "^$1" "$KV_OUTPUT" | tail -n 1), not $*"
        sleep 0.2
    done
}

# The device tree has no word for the node of memory that comes later.
check_without_acpi() {
    kv --kernel "$GUEST_DIR/vmlinuz-6.12" --memory 512M --cpus 2 --numa cpus=0-1,memory=512M \
        --numa distances=30:10 --virtio-mem id=b,max=1G,node=1
    assert_status 65
    assert_grep 'b: node=1: without ACPI.* add --acpi' "$KV_ERRORS"
}

# nodes_have A B C: MiB, by all accounts; the devices have what is beyond the nodes' first memory.
nodes_have() {
    tells NODES "$@"
    tells NUMACTL "$@"
    assert_equal "a's MiB" "$(($(device size 0) >> 20))" $(($2 - second))
    assert_equal "b's MiB" "$(($(device size 1) >> 20))" "$3"
}

# Node 2 is nothing but what is plugged into it.
check_nodes() { # check_nodes KERNEL
    local first second
    GUEST_KERNEL=$1
    start "$TELL_NODES" --memory 768M --cpus 2 --numa cpus=0,memory=512M --numa cpus=1,memory=256M \
        --numa distances=30:30:10 --virtio-mem id=a,max=1G,node=1 --virtio-mem id=b,max=1G,node=2 \
        ${ACPI_FLAG:+"$ACPI_FLAG"}
    wait_for '^NODES [0-9]+ [0-9]+ 0'
    read -r _ first second _ < <(grep '^NODES' "$KV_OUTPUT" | tail -n 1 | tr -d '\r')
    assert_grep '^node 0 cpus: 0 *$'
    assert_grep '^node 1 cpus: 1 *$'
    ctl resize b 256M --wait --timeout 100s
    nodes_have "$first" "$second" 256
    ctl resize a 384M --wait --timeout 100s
    nodes_have "$first" $((second + 384)) 256
    ctl resize b 0 --wait --timeout 100s
    nodes_have "$first" $((second + 384)) 0
    ctl resize a 128M --wait --timeout 100s
    nodes_have "$first" $((second + 128)) 0
    assert_equal "a's node" "$(device node 0)" 1
    assert_equal "b's node" "$(device node 1)" 2
    end
}

[ -z "$ACPI_FLAG" ] || run_test nodes-without-acpi check_without_acpi
run_test nodes check_nodes 6.12
long_test nodes-6.1 check_nodes 6.1-cloud
