# SPDX-License-Identifier: Apache-2.0
# Memory that comes and goes below a device that is in use: what the host holds locked follows what is
# plugged, and the device reads on.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

RAM=256 # MiB

locked_mib() { echo $(($(locked) / 1024)); }

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

# reader: what a guest runs that reads the same from its disk again and again.
reader() {
    cat <<'SHELL'
until [ -b /dev/nvme0n1 ]; do usleep 100000; done
dd if=/dev/urandom of=/dev/nvme0n1 bs=1M count=8 oflag=direct 2>/dev/null
first=$(dd if=/dev/nvme0n1 bs=64k count=128 iflag=direct 2>/dev/null | md5sum)
while :; do
    sum=$(dd if=/dev/nvme0n1 bs=64k count=128 iflag=direct 2>/dev/null | md5sum)
    [ "$sum" = "$first" ] || echo different
    echo round
done
SHELL
}

check_follow() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    may_use "$NVME"
    unprivileged unlimited
    guest_start "$(reader)" --vfio "$NVME" --memory "${RAM}M" --virtio-mem id=m,max=512M,block=2M --qmp unix:qmp \
        --append memhp_default_state=online_movable
    wait_for '^round'
    assert_equal "locked MiB at the start" "$(locked_mib)" "$RAM"
    "$KVMLET" ctl qmp resize m 256M --wait || fail "the memory does not grow"
    assert_equal "locked MiB with 256 plugged" "$(locked_mib)" $((RAM + 256))
    more_rounds
    "$KVMLET" ctl qmp resize m 0 --wait || fail "the memory does not shrink"
    assert_equal "locked MiB with none plugged" "$(locked_mib)" "$RAM"
    more_rounds
    kill "$KV_PID"
    kv_wait
}

# A guest that asks for more than the machine may lock: what is over the limit is refused for now, with what it
# takes, and comes by itself once the limit is raised. The device works all the while.
check_limit() {
    needs_vfio
    needs_tool prlimit setpriv
    bind_to "$NVME" vfio-pci
    may_use "$NVME"
    local monitor=$KVMLET limit=$((RAM + 64)) left=300
    unprivileged $((limit * 1024))
    guest_start "$(reader)" --vfio "$NVME" --memory "${RAM}M" --virtio-mem id=m,max=512M,block=2M --qmp unix:qmp \
        --append memhp_default_state=online_movable
    wait_for '^round'
    "$monitor" ctl qmp resize m 256M || fail "the memory cannot be asked for"
    until "$monitor" ctl qmp info memory-devices | grep -Eq '^m .* busy *$'; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "not busy at the limit: $("$monitor" ctl qmp info memory-devices | tr '\n' ' ')"
        sleep 0.2
    done
    assert_between "locked MiB at the limit" "$(locked_mib)" "$RAM" "$limit"
    assert_grep "devices need all of it locked: [0-9]+ KiB, and the limit is $((limit * 1024)) KiB; .*'prlimit --pid $KV_PID --memlock=" \
        "$KV_ERRORS"
    more_rounds
    prlimit --pid "$KV_PID" --memlock=$(((RAM + 512) << 20))
    "$monitor" ctl qmp resize m 256M --wait || fail "the memory does not grow with a higher limit"
    assert_equal "locked MiB with 256 plugged" "$(locked_mib)" $((RAM + 256))
    more_rounds
    kill "$KV_PID"
    kv_wait
}

both_test locked-memory-follows check_follow
long_test limit check_limit
