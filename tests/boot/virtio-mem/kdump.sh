# SPDX-License-Identifier: Apache-2.0
# A guest that crashes with plugged memory: the kernel that reads its memory finds what was plugged, asks
# the device what else it must not touch, and changes nothing.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=600s
WORD=PAGE-THAT-WAS-PLUGGED

# The first kernel has a file of 64 MiB in movable memory, which is all the device's, each page with the word.
# shellcheck disable=SC2016 # expanded in the guest
TWO_LIVES='
if [ -e /proc/vmcore ]; then
    /vmcore "$(dmesg | sed -n "s/.*virtio_mem .*start address: //p" | head -n 1)" '$WORD'
    echo "DUMPED $?"
    while :; do sleep 1; done
fi
until [ "$(awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo)" -ge 600 ]; do sleep 0.3; done
dd if=/dev/vda of=/tmp/kernel bs=1M 2>/dev/null
dd if=/dev/vdb of=/tmp/initrd bs=1M 2>/dev/null
/kexec -p /tmp/kernel /tmp/initrd || echo "NO KEXEC: $?"
rm /tmp/kernel /tmp/initrd
printf '$WORD' >/tmp/page
truncate -s 4096 /tmp/page
i=0
while [ $i -lt 256 ]; do cat /tmp/page; i=$((i + 1)); done >/tmp/part
i=0
while [ $i -lt 64 ]; do cat /tmp/part; i=$((i + 1)); done >/tmp/keep
echo "FILLED $(stat -c %s /tmp/keep)"
echo c >/proc/sysrq-trigger'

check_kdump() {
    [ "$KEXEC" = yes ] || skip "Debian's kernels of this architecture have no kexec_file_load"
    cp "$TEST_PROGRAMS/boot/kexec" "$TEST_PROGRAMS/boot/vmcore" .
    cp "$GUEST_DIR/vmlinuz-6.12" kernel
    truncate -s %512 kernel
    guest_flags "$TWO_LIVES"
    printf 'kexec\nvmcore\n' | cpio -o -H newc --quiet >>initrd.img
    # A block and a half of those that Linux adds: half of the second is not there.
    with_append --memory 768M --virtio-mem id=vm0,max=1G,size=192M --qmp unix:vm.sock \
        --append "$ONLINE crashkernel=256M" --disk kernel,ro --disk initrd.img,ro
    kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    wait_for '^FILLED 67108864' "$KV_OUTPUT" 300
    wait_for '^DUMPED' "$KV_OUTPUT" 300
    assert_no_grep '^NO KEXEC|^CANNOT READ'
    assert_grep '^DUMPED 0'
    assert_grep '^VMCORE 256 MiB'
    # And the copies that programs had made.
    assert_between "the number of pages with the word" \
        "$(tr -d '\r' <"$KV_OUTPUT" | sed -n 's/^VMCORE .* MiB \([0-9]*\) pages/\1/p')" 16384 18000
    assert_equal "the plugged size" "$(device size)" $((192 << 20))
    sleep 11 # the device looks every 10 seconds for unplugged memory that was touched
    ctl --json qmp query-memory-devices >devices.json
    assert_grep '"__org.kvmlet_unplugged-touched": ?0' devices.json
    assert_grep '"error": ?0' devices.json
    ctl quit
    kv_wait
    assert_status 0
}

long_test kdump check_kdump
