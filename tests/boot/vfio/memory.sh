# SPDX-License-Identifier: Apache-2.0
# Memory that comes and goes below a device that is in use: what the host holds locked follows what is
# plugged, and the device reads on.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

RAM=256 # MiB

# locked: MiB that the kernel holds for the machine's devices.
locked() { awk '/^VmLck:/ { print int($2 / 1024) }' "/proc/$KV_PID/status"; }

rounds() { grep -c '^round' "$KV_OUTPUT" || true; }

# more_rounds: the guest reads on from its disk, and reads what it has read before.
more_rounds() {
    local before left=300
    before=$(rounds)
    until [ "$(rounds)" -gt "$((before + 1))" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest no longer reads its disk"
        sleep 0.2
    done
    assert_no_grep '^different' "$KV_OUTPUT"
}

check_follow() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    guest_start 'until [ -b /dev/nvme0n1 ]; do usleep 100000; done
        dd if=/dev/urandom of=/dev/nvme0n1 bs=1M count=8 oflag=direct 2>/dev/null
        first=$(dd if=/dev/nvme0n1 bs=64k count=128 iflag=direct 2>/dev/null | md5sum)
        while :; do
            sum=$(dd if=/dev/nvme0n1 bs=64k count=128 iflag=direct 2>/dev/null | md5sum)
            [ "$sum" = "$first" ] || echo different
            echo round
        done' --vfio "$NVME" --memory "${RAM}M" --virtio-mem id=m,max=512M,block=2M --qmp unix:qmp \
        --append memhp_default_state=online_movable
    wait_for '^round'
    assert_equal "locked MiB at the start" "$(locked)" "$RAM"
    "$KVMLET" ctl qmp resize m 256M --wait || fail "the memory does not grow"
    assert_equal "locked MiB with 256 plugged" "$(locked)" $((RAM + 256))
    more_rounds
    "$KVMLET" ctl qmp resize m 0 --wait || fail "the memory does not shrink"
    assert_equal "locked MiB with none plugged" "$(locked)" "$RAM"
    more_rounds
    kill "$KV_PID"
    kv_wait
}

both_test locked-memory-follows check_follow
