# SPDX-License-Identifier: Apache-2.0
# What a guest with plugged memory may do to its device: take the driver away, start another kernel,
# reset. All in one life of the monitor; a disk tells the guest how far it is.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=900s # for four kernels
# The device has 256M to begin with, beside 512M of RAM.
# shellcheck disable=SC2016 # expanded in the guest
STAGES='
drv=/sys/bus/virtio/drivers/virtio_mem
total() { awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo; }
at_least() { until [ "$(total)" -ge "$1" ]; do sleep 0.3; done; }
below() { until [ "$(total)" -lt "$1" ]; do sleep 0.3; done; }
next() { printf "$1" | dd of=/dev/vdc conv=notrunc 2>/dev/null; sync; }
dev=$(basename $drv/virtio*)
stage=$(head -c 1 /dev/vdc)
at_least 700
echo "STAGE $stage has $(total)"
case $stage in
    0)
        # Linux keeps the memory that it uses, and does not take such a device back.
        echo "$dev" >$drv/unbind
        echo "UNBOUND has $(total)"
        echo "$dev" >$drv/bind && echo "BOUND AGAIN"
        echo "STILL $(total)"
        next 1
        dd if=/dev/vda of=/tmp/kernel bs=1M 2>/dev/null
        dd if=/dev/vdb of=/tmp/initrd bs=1M 2>/dev/null
        /kexec /tmp/kernel /tmp/initrd
        echo "NO KEXEC: $?"
        next 2
        reboot -f
        ;;
    1) next 2; reboot -f ;;
    2) next 3; echo WAITING ;;
    3)
        below 520
        # The driver first takes memory offline, then gives it up: in between it has some, and no other is bound.
        while grep -q virtio_mem /proc/iomem; do sleep 0.3; done
        sleep 2
        echo "$dev" >$drv/unbind
        echo "$dev" >$drv/bind
        echo REBOUND
        at_least 700
        echo "AT LAST $(total)"
        ;;
esac
while :; do sleep 1; done'

check_lifecycle() {
    cp "$TEST_PROGRAMS/boot/kexec" .
    printf '0' >state
    truncate -s 512 state
    cp "$GUEST_DIR/vmlinuz-6.12" kernel
    truncate -s %512 kernel
    guest_flags "$STAGES"
    echo kexec | cpio -o -H newc --quiet >>initrd.img
    with_append --memory 512M --virtio-mem id=vm0,max=1G,size=256M --qmp unix:vm.sock --append "$ONLINE" \
        --disk kernel,ro --disk initrd.img,ro --disk state
    kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    if [ "$KEXEC" = yes ]; then
        wait_for '^STAGE 1 ' "$KV_OUTPUT" 300
        assert_no_grep '^NO KEXEC'
    fi
    wait_for '^WAITING' "$KV_OUTPUT" 300
    assert_grep '^UNBOUND has 7'
    assert_grep '^STILL 7'
    assert_no_grep '^BOUND AGAIN'
    assert_grep '^STAGE 2 '
    ctl reset
    wait_for '^STAGE 3 ' "$KV_OUTPUT" 300
    assert_equal "the plugged size" "$(device size)" $((256 << 20))
    ctl resize vm0 0 --wait --timeout 100s
    wait_for '^REBOUND'
    ctl resize vm0 256M --wait --timeout 100s
    wait_for '^AT LAST 7'
    ctl --json qmp query-memory-devices >devices.json
    assert_grep '"error": ?0' devices.json
    end
}

run_test lifecycle check_lifecycle
