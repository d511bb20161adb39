# SPDX-License-Identifier: Apache-2.0
# CPUs that the guest switches off and on again, and interrupts that it moves from one to the other.
. "$(dirname "$0")/../lib.sh"

KV_TIMEOUT=400s

# A hundred times; then CPU 1 works, takes its ticks, and its time is told.
# shellcheck disable=SC2016 # expanded in the guest
OFF_AND_ON='
cd /sys/devices/system/cpu
ticks() { awk "/^cpu1 / { print \$2 + \$4, \$9 }" /proc/stat; }
for i in $(seq 100); do echo 0 >cpu1/online || exit 2; [ "$(cat online)" = 0 ] || exit 3; echo 1 >cpu1/online || exit 4; done
echo "ONLINE $(cat online)"
for i in 1 2 3 4; do (while :; do :; done) & done
sleep 1
from=$(ticks)
sleep 8
echo "TICKS $from $(ticks)"
kill $(jobs -p)
dmesg | grep -E "WARNING|BUG|stall|Internal error|failed" | head -n 3
exit 0'

check_off_and_on() {
    local used stolen used_later stolen_later
    guest "$OFF_AND_ON" --cpus 2 --memory 256M
    assert_status 0
    assert_grep '^ONLINE 0-1'
    assert_no_grep 'WARNING|BUG|stall|Internal error|failed'
    read -r _ used stolen used_later stolen_later < <(tr -d '\r' <"$KV_OUTPUT" | grep '^TICKS')
    used=$((used_later - used)) stolen=$((stolen_later - stolen))
    figure "of 8 s of CPU 1, in hundredths of a second: $used used, $stolen stolen"
    assert_between "hundredths of a second of CPU 1" "$used" 50 1000
    assert_between "hundredths of a second stolen of CPU 1" "$stolen" 0 1000
}

# The random numbers' device: a disk's queues belong to their CPUs for good.
# shellcheck disable=SC2016 # expanded in the guest
MOVE='
modprobe virtio_rng 2>/dev/null
device=$(basename /sys/bus/virtio/drivers/virtio_rng/virtio*)
irq=$(awk "/$device-input/ { print \$1 + 0 }" /proc/interrupts)
cat /sys/class/misc/hw_random/rng_available
echo virtio_rng.0 >/sys/class/misc/hw_random/rng_current
counts() { awk -v irq="$irq:" "\$1 == irq { print \$2, \$3 }" /proc/interrupts; }
echo "LINE $(grep "^ *$irq:" /proc/interrupts)"
for cpu in 1 0 1; do
    echo $cpu >/proc/irq/$irq/smp_affinity_list || exit 2
    dd if=/dev/hwrng of=/dev/null bs=64 count=4 2>/dev/null || exit 3
    before=$(counts)
    dd if=/dev/hwrng of=/dev/null bs=64 count=32 2>/dev/null || exit 3
    echo "MOVED $cpu $before $(counts)"
done
exit 0'

check_move() {
    local cpu others count=0
    local -a before after
    guest "$MOVE" --cpus 2 --memory 256M
    assert_status 0
    assert_grep "^LINE .*$DEVICE_INTERRUPT"
    while read -r _ cpu before[0] before[1] after[0] after[1]; do
        others=$((1 - cpu))
        assert_between "interrupts of CPU $cpu" $((after[cpu] - before[cpu])) 1 1000
        assert_equal "interrupts of CPU $others" $((after[others] - before[others])) 0
        count=$((count + 1))
    done < <(tr -d '\r' <"$KV_OUTPUT" | grep '^MOVED')
    assert_equal "moves" "$count" 3
}

long_test cpus-off-and-on check_off_and_on
long_test interrupts-move check_move
