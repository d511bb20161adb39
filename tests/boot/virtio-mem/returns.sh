# SPDX-License-Identifier: Apache-2.0
# What the guest gives back is the host's again, whatever the memory is made of. Linux of another
# version here, the one with all of virtio as modules.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=900s
SIZE=128 # of each device in turn: what Linux adds at once
USED=100 # by the guest's file in it
LEFT=4   # at most when it is gone, beside what was there before

# Whenever it has more memory, it fills that with a file, for which Linux takes movable memory first,
# and waits until it has less again.
# shellcheck disable=SC2016 # expanded in the guest
FILL='
total() { awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo; }
mount -o remount,size=1G /tmp
echo READY
while :; do
    until [ "$(total)" -ge 560 ]; do sleep 0.3; done
    dd if=/dev/zero of=/tmp/big bs=1M count=100 2>/dev/null
    rounds=$((rounds + 1))
    echo "FULL $rounds"
    rm /tmp/big
    until [ "$(total)" -lt 520 ]; do sleep 0.3; done
    echo "EMPTY $rounds"
done'

# The guest's RAM is a memfd of 512M, so that this is the device and kvmlet's own.
anonymous_mib() { echo $(($(awk '/^RssAnon:/ { print $2 }' "/proc/$KV_PID/status") / 1024)); }
# The memory file of 2G is the device's.
memfd_mib() {
    find -L "/proc/$KV_PID/fd" -maxdepth 1 -size 2097152k -printf '%k\n' 2>/dev/null |
        awk '{ sum += $1 } END { print int(sum / 1024) }'
}
file_mib() { du -m ram | cut -f 1; }
pool_mib() {
    awk '/^HugePages_Total/ { total = $2 } /^HugePages_Free/ { free = $2 } END { print (total - free) * 2 }' \
        /proc/meminfo
}

# A host without pages is busy to the guest, which has its memory soon after there are some.
lack_pages() {
    local left=600
    echo 0 >/proc/sys/vm/nr_hugepages
    ctl qom-set pool requested-size ${SIZE}M
    until ctl info memory-devices | grep -Eq '^pool .* 0M .* busy *$'; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "not busy without huge pages: $(ctl info memory-devices | tr '\n' ' ')"
        sleep 0.2
    done
    echo 100 >/proc/sys/vm/nr_hugepages
}

ROUND=0
# round ID COUNTER [FIRST]: plug, fill, unplug.
# The guest's file is gone before the memory is asked back: there is nothing to move.
round() {
    local before full after
    ROUND=$((ROUND + 1))
    before=$($2)
    ${3:-true}
    ctl resize "$1" ${SIZE}M --wait --timeout 100s
    wait_for "^FULL $ROUND"
    full=$($2)
    ctl resize "$1" 0 --wait --timeout 100s
    wait_for "^EMPTY $ROUND"
    after=$($2)
    echo "$1: $before MiB before, $full full, $after after"
    assert_between "$1's memory with the guest's file in it" "$full" $((before + USED - 8)) 700
    assert_between "$1's memory after the unplug" "$after" 0 $((before + LEFT))
}

check_returns() {
    GUEST_KERNEL=6.1-cloud
    start "$FILL" --memory 512M,shared --virtio-mem id=anonymous,max=1G --virtio-mem id=memfd,max=2G,shared \
        --virtio-mem id=file,max=1G,file=ram
    wait_for READY
    round anonymous anonymous_mib
    round memfd memfd_mib
    round file file_mib
    end
}

check_huge_pages() {
    needs_lab
    echo 100 >/proc/sys/vm/nr_hugepages
    grep -q '^HugePages_Free: *100$' /proc/meminfo || skip "this machine has no 100 huge pages in one piece each"
    GUEST_KERNEL=6.1-cloud
    start "$FILL" --memory 512M --virtio-mem id=pool,max=1G,hugepages=2M
    wait_for READY
    round pool pool_mib lack_pages
    end
    echo 0 >/proc/sys/vm/nr_hugepages
}

run_test memory-returns check_returns
both_test huge-pages-return check_huge_pages
