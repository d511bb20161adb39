# SPDX-License-Identifier: Apache-2.0
# The example that explains virtio-mem, with its own numbers: 1 GiB of 8 at the start, then 3, then none.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=900s

# Fills 2 GiB of what comes, and gives it back before it is asked for.
# shellcheck disable=SC2016 # expanded in the guest
LOAD='
total() { awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo; }
mount -o remount,size=3G /tmp
while :; do echo "TOTAL $(total)"; sleep 0.5; done &
until [ "$(total)" -ge 3400 ]; do sleep 0.3; done
dd if=/dev/zero of=/tmp/big bs=1M count=2048 2>/dev/null
echo FULL
rm /tmp/big
wait'

resident_mib() { echo $(($(awk '/^VmRSS:/ { print $2 }' "/proc/$KV_PID/status") / 1024)); }

# exactly MIB: until the guest has that. Linux adds and takes away whole blocks, so it is exact.
exactly() { said TOTAL "$1" "$1"; }

# RAM is populated from the start: what the monitor has beside it is the device's.
check_example() {
    local first before full after
    start "$LOAD" --memory 512M,prealloc --virtio-mem id=vm0,max=8G,size=1G
    said TOTAL $((1024 + 400)) $((1024 + 512))
    ctl resize vm0 1G --wait --timeout 100s
    first=$(last TOTAL)
    before=$(resident_mib)
    ctl qom-set vm0 requested-size 3G
    exactly $((first + 2048))
    wait_for '^FULL'
    full=$(resident_mib)
    if [ "$PAGE_COUNTS" = yes ]; then
        ctl query-stats target=vm >stats
        assert_between "pages_2m" "$(awk '$3 == "pages_2m" { print $4 }' stats)" 900 1800
    fi
    ctl qom-set vm0 requested-size 0
    exactly $((first - 1024))
    ctl resize vm0 0 --wait --timeout 100s
    after=$(resident_mib)
    echo "resident MiB: $before with 1 GiB that nobody used, $full with 2 GiB in use, $after with none"
    assert_between "the monitor's resident MiB with a file of 2 GiB" "$full" $((before + 2000)) $((before + 2500))
    assert_between "the monitor's resident MiB in the end" "$after" 512 $((before * 105 / 100))
    end
}

both_test one-three-none check_example
