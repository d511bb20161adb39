# SPDX-License-Identifier: Apache-2.0
# Pages of 1 GiB, of RAM and of a device: the host's pool has what is not in use, and says what it lacks.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=600s
POOL=/sys/kernel/mm/hugepages/hugepages-1048576kB

# shellcheck disable=SC2016 # expanded in the guest
FILL='
total() { awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo; }
echo READY
until [ "$(total)" -ge 1800 ]; do sleep 0.3; done
dd if=/dev/zero of=/tmp/big bs=1M count=300 2>/dev/null
echo FULL
rm /tmp/big
while :; do sleep 1; done'

free_pages() { cat $POOL/free_hugepages; }

# pool_of N: so many pages in the host's pool.
pool_of() {
    echo "$1" >$POOL/nr_hugepages
    assert_equal "the number of pages in the host's pool" "$(cat $POOL/nr_hugepages)" "$1"
}

# busy_with PATTERN: until that is why the device has not what was requested.
busy_with() {
    local left=600
    until ctl info memory-devices | grep -Eq -- "$1"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "not busy for lack of pages: $(ctl info memory-devices | tr '\n' ' ')"
        sleep 0.2
    done
}

check_pages() {
    needs_lab
    pool_of 0
    kv --kernel "$GUEST_DIR/vmlinuz-6.12" --memory 2G,hugepages=1G
    assert_status 71
    assert_grep "needs 2 huge pages of 1G and 0 of the host's 0 are free: echo 2 >$POOL/nr_hugepages" "$KV_ERRORS"
    assert_grep 'start the host with hugepagesz=1G hugepages=2' "$KV_ERRORS"
    pool_of 2
    start "$FILL" --memory 1G,hugepages=1G --virtio-mem id=pool,max=2G,hugepages=1G
    wait_for READY
    assert_equal "the number of free pages beside RAM's" "$(free_pages)" 1
    ctl resize pool 1G --wait --timeout 100s
    wait_for FULL
    assert_equal "the number of free pages beside the device's" "$(free_pages)" 0
    ctl info memory-devices | tee info
    assert_grep '^pool +0 +1024M +1024M +2048M +1024M +hugetlb-1G +complete' info
    if [ "$PAGE_COUNTS" = yes ]; then
        ctl query-stats target=vm >stats
        assert_between "pages_1g" "$(awk '$3 == "pages_1g" { print $4 }' stats)" 2 2
    fi
    # The guest is told to come back, and the device says what the host lacks.
    ctl qom-set pool requested-size 2G
    busy_with "needs 1 huge pages of 1G and 0 of the host.s 2 are free: echo 3 "
    ctl resize pool 0 --wait --timeout 100s
    assert_equal "the number of free pages when the device has none" "$(free_pages)" 1
    end
    assert_equal "the number of free pages in the end" "$(free_pages)" 2
    pool_of 0
}

both_test pages-of-1G check_pages
