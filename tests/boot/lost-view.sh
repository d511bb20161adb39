# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Guests that meet a page of theirs that the host has lost. Sourced after lib.sh.

MEMORY_MIB=256
# Two boots in one run.
KV_TIMEOUT=900s
# A whole line: the console gives it a byte at a time.
PAGE='^PAGE [1-9][0-9]* here'

# The program, and what the kernel says of it.
# shellcheck disable=SC2016 # expanded in the guest
REPORT='
/meet
echo "STATUS $?"
awk "/HardwareCorrupted/ { print \"CORRUPTED\", \$2 }" /proc/meminfo
dmesg | grep -E "Memory failure|Machine Check|Hardware Error" | head -n 20
echo ALIVE'
MEET="$REPORT
sleep 100000"

# Where RAM begins in the guest.
case $ARCH in
    arm64) RAM=$((0x40000000)) ;;
    *) RAM=0 ;;
esac

# start_backed MEMORY FLAG...: the guest that meets the error, in memory of that kind.
start_backed() {
    cp "$TEST_PROGRAMS/boot/meet" .
    guest_flags "$MEET"
    echo meet | cpio -o -H newc --quiet >>initrd.img
    with_append --memory "${MEMORY_MIB}M$1" --qmp unix:vm.sock --events events "${@:2}"
    kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
}

# start_guest FLAG...: the same in a file, which another process can map.
start_guest() {
    RAM_FILE=/dev/shm/kvmlet-ram.$$
    : >"$RAM_FILE"
    start_backed ",file=$RAM_FILE,shared" "$@"
}

# The page that the guest's program named last.
page_of_guest() { tr -d '\r' <"$KV_OUTPUT" | sed -n 's/^PAGE \([0-9]*\) here$/\1/p' | tail -n 1; }

# lose_page ADDRESS: the host loses it. Who asks for that has the page, and dies of it.
lose_page() {
    [ -n "$1" ] && [ $(($1 % 4096)) = 0 ] || fail "'$1' is no page's address"
    /usr/bin/python3 -ISc '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
mmap.mmap(fd, 4096, offset=int(sys.argv[2])).madvise(mmap.MADV_HWPOISON)' \
        "$RAM_FILE" $(($1 - RAM)) 2>lose.err || true
    ! grep -Eq 'PermissionError|Errno 22|no attribute' lose.err ||
        skip "this host cannot lose pages: $(tail -n 1 lose.err)"
    ! grep -q Error lose.err || fail "$(tail -n 1 lose.err)"
}

# read_page ADDRESS: as another process of the host sees it.
read_page() {
    /usr/bin/python3 -ISc '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
print(len(mmap.mmap(fd, 4096, offset=int(sys.argv[2]))[:]))' "$RAM_FILE" $(($1 - RAM))
}

# until_pages N: until the guest's programs have named so many pages, the last one at last.
until_pages() {
    local left=2000
    until [ "$(grep -c "$PAGE" "$KV_OUTPUT")" = "$1" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest names no page $1"
        kill -0 "$KV_PID" || fail "kvmlet ended before page $1: $(tail -n 1 "$KV_ERRORS")"
        sleep 0.2
    done
}
