# SPDX-License-Identifier: Apache-2.0
# Disks, seen by Linux: file systems, crashes of the monitor, sizes, serial numbers.
. "$(dirname "$0")/../lib.sh"

FILL='mkfs.ext4 -q -F /dev/vda && mkdir /m && mount -t ext4 /dev/vda /m || exit 1
dd if=/dev/urandom of=/m/data bs=1M count=24 2>/dev/null || exit 2
cd /m && md5sum data >sum && sync && cat sum'

# What the guest synced is there after the monitor was killed.
check_kill() { # check_kill [DISK-OPTIONS]
    needs_tool e2fsck
    truncate -s 64M disk.img
    guest_start "$FILL"'; echo SYNCED; dd if=/dev/zero of=/m/more bs=1M count=16; sleep 600' \
        --disk "disk.img$1" --cpus 2
    wait_for SYNCED
    kill -KILL "$KV_PID"
    kv_wait 2>/dev/null
    assert_status 137
    local sum
    sum=$(tr -d '\r' <"$KV_OUTPUT" | grep -E '^[0-9a-f]{32}')
    # The journal is replayed first, as a mount would; then nothing may be left to mend.
    e2fsck -p disk.img || [ $? = 1 ] || fail "e2fsck had to mend: $?"
    e2fsck -fn disk.img || fail "the file system is not clean"
    guest 'mkdir /m; mount -t ext4 /dev/vda /m && cd /m && md5sum -c sum && cat sum' --disk "disk.img$1"
    assert_status 0
    assert_grep 'data: OK'
    assert_grep "${sum%% *}"
}

check_read_only() {
    truncate -s 8M disk.img
    guest 'cat /sys/block/vda/ro; echo x | dd of=/dev/vda 2>/dev/null && exit 1; exit 0' \
        --disk disk.img,ro
    assert_status 0
    assert_grep '^1$'
    cmp -n 8388608 disk.img /dev/zero || fail "the image was changed"
}

# Two monitors must not write to one image.
check_locked() {
    truncate -s 8M disk.img
    guest_start 'echo READY; sleep 600' --disk disk.img
    wait_for READY
    local status=0
    "$KVMLET" run "${GUEST_FLAGS[@]}" --disk disk.img >/dev/null 2>second </dev/null || status=$?
    assert_equal "the second monitor's status" "$status" 66
    assert_grep 'in use' second
    kill -TERM "$KV_PID"
    kv_wait
}

check_several() {
    truncate -s 8M a.img
    truncate -s 16M b.img
    guest 'for d in vda vdb; do
               echo "$d $(cat /sys/block/$d/size) $(cat /sys/block/$d/serial) $(ls /sys/block/$d/mq | wc -l)"
           done' --disk a.img,serial=FIRST,queues=2 --disk b.img,serial=SECOND --cpus 2
    assert_status 0
    assert_grep '^vda 16384 FIRST 2'
    assert_grep '^vdb 32768 SECOND 2'
}

check_resize() {
    truncate -s 8M disk.img
    guest_start 'cat /sys/block/vda/size; echo READY
        until [ "$(cat /sys/block/vda/size)" = 32768 ]; do sleep 0.1; done; exit 4' \
        --disk disk.img,id=data --qmp unix:vm.sock
    wait_for READY
    truncate -s 16M disk.img
    "$KVMLET" ctl vm.sock resize-disk data
    kv_wait
    assert_status 4
    assert_grep '^16384$'
}

check_discard() {
    truncate -s 64M disk.img
    guest 'mkfs.ext4 -q -F -E nodiscard /dev/vda && mkdir /m && mount -t ext4 /dev/vda /m || exit 1
           dd if=/dev/urandom of=/m/data bs=1M count=32 2>/dev/null; sync; rm /m/data; sync
           fstrim /m; umount /m' --disk disk.img
    assert_status 0
    assert_between "the image's megabytes on the host" "$(du -m disk.img | cut -f 1)" 0 20
}

run_test kill-9 check_kill ''
long_test kill-9-direct check_kill ,direct,queues=2
run_test read-only check_read_only
run_test locked check_locked
run_test several check_several
run_test resize check_resize
run_test discard check_discard
