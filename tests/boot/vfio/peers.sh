# SPDX-License-Identifier: Apache-2.0
# Several devices in one guest: each works beside the other, the host lets each reach the other's registers,
# and one that goes takes nothing with it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

check_peers() {
    needs_vfio
    network_vfs 1
    bind_to "$NVME" vfio-pci
    local faults
    faults=$(dma_faults)
    guest_start "$(network_up 10.9.0.2)
        until [ -b /dev/nvme0n1 ]; do usleep 100000; done
        while :; do
            dd if=/dev/urandom of=/tmp/data bs=64k count=4 2>/dev/null
            dd if=/tmp/data of=/dev/nvme0n1 bs=64k oflag=direct 2>/dev/null
            dd if=/dev/nvme0n1 bs=64k count=4 iflag=direct 2>/dev/null | cmp - /tmp/data || break
            ping -c 1 -W 5 10.9.0.1 >/dev/null && echo both || echo disk
            sleep 1
        done" --vfio "$(vf_of "$NIC" 0),id=nic" --vfio "$NVME,id=disk" --memory 192M --qmp unix:qmp \
        --events events --log-level info
    wait_for '^both'
    assert_no_grep 'cannot reach each other' "$KV_ERRORS"
    # The host takes the network function back: the disk goes on.
    "$KVMLET" ctl qmp device_del id=nic __org.kvmlet_force=true || fail "it stays"
    wait_for '"DEVICE_DELETED"' events
    wait_for '^disk'
    kill -0 "$KV_PID" || fail "the guest did not survive"
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
    kill "$KV_PID"
    kv_wait
}

long_test peers check_peers
