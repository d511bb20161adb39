# SPDX-License-Identifier: Apache-2.0
# Persistent memory over a file: a file system with DAX in the guest, and what is in the file when the
# monitor is killed right after the guest has synced.
. "$(dirname "$0")/../lib.sh"

# The device comes up in the background.
WAIT='
tries=0
until [ -b /dev/pmem0 ] || [ $((tries = tries + 1)) -gt 200 ]; do sleep 0.1; done
[ -b /dev/pmem0 ] || { echo "NO PMEM"; exit 1; }'

# Mounts the first pmem device with DAX, formatting it first when told.
MOUNT="$WAIT"'
[ "$FORMAT" = no ] || mkfs.ext4 -q -b 4096 /dev/pmem0 || exit 2
mount -t ext4 -o dax=always /dev/pmem0 /mnt || exit 3
grep "/mnt .*dax" /proc/mounts && echo DAX'

check_killed() {
    truncate -s 64M disk.pmem
    guest_start "$MOUNT
dd if=/dev/urandom of=/mnt/data bs=1M count=16 2>/dev/null
md5sum /mnt/data | cut -d' ' -f1 >/mnt/sum
sync; sync /mnt/data /mnt/sum
echo SYNCED
while :; do dd if=/dev/urandom of=/mnt/late bs=64k count=4 2>/dev/null; done" \
        --memory 512M --pmem disk.pmem --qmp unix:vm.sock
    wait_for SYNCED
    assert_grep '^DAX'
    kill -9 "$KV_PID"
    wait "$KV_PID" || true
    rm -f vm.sock
    guest "FORMAT=no$MOUNT
[ \"\$(md5sum /mnt/data | cut -d' ' -f1)\" = \"\$(cat /mnt/sum)\" ] && echo INTACT
umount /mnt; e2fsck -fn /dev/pmem0 >/dev/null && echo CLEAN" --memory 512M --pmem disk.pmem
    assert_status 0
    assert_grep '^INTACT'
    assert_grep '^CLEAN'
}

# The guest may write to what is given to it with ro, and nothing of it reaches the file.
check_read_only() {
    local before
    truncate -s 16M disk.pmem
    mkfs.ext4 -q -b 4096 disk.pmem
    before=$(md5sum <disk.pmem)
    guest "FORMAT=no$MOUNT
echo hello >/mnt/file && sync && cat /mnt/file" --memory 512M --pmem disk.pmem,ro
    assert_status 0
    assert_grep '^hello'
    assert_equal "the file's checksum" "$(md5sum <disk.pmem)" "$before"
}

# Memory of the host's tmpfs in huge pages stays so for the guest, as KVM's own counters tell.
check_huge() {
    local uncounted=no
    needs_lab
    mkdir -p huge
    mount -t tmpfs -o huge=always,size=200M tmpfs huge || skip "this kernel has no huge tmpfs"
    truncate -s 64M huge/disk.pmem
    truncate -s 64K disk
    guest_start "$WAIT"'
echo BEFORE
until [ "$(dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | head -c 2)" = go ]; do sleep 0.5; done
dd if=/dev/zero of=/dev/pmem0 bs=1M count=64 2>/dev/null; echo READY; sleep 600' \
        --memory 512M --pmem huge/disk.pmem --qmp unix:vm.sock --disk disk
    wait_for BEFORE
    "$KVMLET" ctl vm.sock query-stats target=vm >before
    printf 'go' | dd of=disk conv=notrunc 2>/dev/null
    wait_for READY
    # All of the file is in huge pages here.
    assert_between "KiB of the file mapped in huge pages" \
        "$(awk '/^(ShmemPmdMapped|FilePmdMapped)/ { sum += $2 } END { print sum + 0 }' "/proc/$KV_PID/smaps_rollup")" \
        65536 65536
    "$KVMLET" ctl vm.sock query-stats target=vm >stats
    grep -E 'pages_(4k|2m|1g)' before stats || uncounted=yes
    if [ "$uncounted" = yes ]; then
        "$KVMLET" ctl vm.sock quit
        kv_wait
        umount huge
        skip "KVM counts no page sizes on this architecture"
    fi
    # And for the guest; some RAM may have come in between, or have been split.
    assert_between "what pages_2m grew by" "$(awk '$3 == "pages_2m" { n = $4 - n } END { print n }' before stats)" 28 60
    "$KVMLET" ctl vm.sock quit
    kv_wait
    umount huge
}

# The guest's sync reaches the disk below the file: as writes, and as a flush of its cache.
check_flush() {
    local loop before after
    needs_lab
    truncate -s 128M disk.img
    mkfs.ext4 -q disk.img
    mkdir -p disk
    mount -o loop disk.img disk || skip "this kernel cannot mount an image"
    loop=$(basename "$(losetup -j disk.img -n -O NAME)")
    truncate -s 32M disk/pmem
    guest_start "$WAIT"'
echo READY; sleep 2
dd if=/dev/urandom of=/dev/pmem0 bs=1M count=8 2>/dev/null; sync /dev/pmem0; sync; echo SYNCED; sleep 600' \
        --memory 512M --pmem disk/pmem
    wait_for READY
    before=$(awk '{ print $16 }' "/sys/block/$loop/stat")
    wait_for SYNCED
    after=$(awk '{ print $16 }' "/sys/block/$loop/stat")
    echo "flushes of $loop: $before before, $after after; sectors written: $(awk '{ print $7 }' "/sys/block/$loop/stat")"
    assert_between "the flushes of the disk" "$after" $((before + 1)) 1000000
    assert_between "the sectors written to the disk" "$(awk '{ print $7 }' "/sys/block/$loop/stat")" 16384 1000000
    kill -9 "$KV_PID"
    wait "$KV_PID" || true
    umount disk
}

check_refused() {
    truncate -s 3M disk.pmem
    kv --kernel "$GUEST_DIR/vmlinuz-6.12" --pmem disk.pmem
    assert_status 65
    assert_grep 'truncate -s 4M' "$KV_ERRORS"
    truncate -s 4M disk.pmem
    kv --kernel "$GUEST_DIR/vmlinuz-6.12" --pmem disk.pmem,dax
    assert_status 69
    kv --kernel "$GUEST_DIR/vmlinuz-6.12" --pmem missing
    assert_status 66
    # Two machines never write one file.
    kv --kernel "$GUEST_DIR/vmlinuz-6.12" --pmem disk.pmem --pmem disk.pmem
    assert_status 66
    assert_grep 'in use' "$KV_ERRORS"
}

run_test pmem-killed check_killed
long_test pmem-read-only check_read_only
run_test pmem-huge check_huge
both_test pmem-flush check_flush
both_test pmem-refused check_refused
