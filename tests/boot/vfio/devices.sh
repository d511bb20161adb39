# SPDX-License-Identifier: Apache-2.0
# Devices of the host in guests that run Linux: their own drivers, data intact, interrupts counted by
# the guest, and a host that saw no DMA where none may be.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

MEMORY=192M

check_network() {
    needs_vfio
    network_vfs 1
    local faults server
    faults=$(dma_faults)
    dd if=/dev/urandom of=data bs=1M count=4 2>/dev/null
    /usr/bin/python3 -IS - <<'PYTHON' &
import socket
down = socket.create_server(("10.9.0.1", 5001))
up = socket.create_server(("10.9.0.1", 5002))
peer, _ = down.accept()
peer.sendall(open("data", "rb").read())
peer.shutdown(socket.SHUT_WR)
peer.recv(1)
peer, _ = up.accept()
with open("back", "wb") as file:
    while data := peer.recv(1 << 16):
        file.write(data)
PYTHON
    server=$!
    guest "$(network_up 10.9.0.2)
        ping -c 3 -i 0.3 -W 5 10.9.0.1 >/dev/null || exit 3
        mkfifo /tmp/open; exec 9<>/tmp/open # an input that never ends
        nc 10.9.0.1 5001 >/tmp/data <&9 || exit 4
        md5sum </tmp/data | sed 's/^/DATA /'
        nc 10.9.0.1 5002 </tmp/data || exit 5
        echo == interrupts; cat /proc/interrupts; echo == config; lspci -vvv; echo == end" \
        --vfio "$(vf_of "$NIC" 0)" --memory "$MEMORY"
    kill "$server" 2>/dev/null || true
    assert_status 0
    assert_grep "DATA $(md5sum <data | cut -d ' ' -f 1)"
    cmp data back || fail "what came back is not what was sent"
    assert_between "receive interrupts" "$(count_interrupts '-rx-')" 10 1000000
    assert_between "transmit interrupts" "$(count_interrupts '-tx-')" 10 1000000
    section config >config
    assert_grep 'Kernel driver in use: igbvf' config
    assert_grep 'Advanced Error Reporting' config
    assert_no_grep 'SR-IOV|ARI|Address Translation' config
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
}

# Two functions of one card in two guests: what one serves the other gets.
check_two_guests() {
    needs_vfio
    network_vfs 2
    local faults served
    faults=$(dma_faults)
    guest_start "$(network_up 10.9.0.2)
        dd if=/dev/urandom of=/tmp/data bs=1M count=2 2>/dev/null
        md5sum </tmp/data | sed 's/^/SERVED /'
        while :; do nc -l -p 5001 </tmp/data >/dev/null; done" --vfio "$(vf_of "$NIC" 0)" --memory "$MEMORY"
    wait_for '^SERVED'
    served=$(sed -n 's/^SERVED \([0-9a-f]*\).*/\1/p' "$KV_OUTPUT")
    mkdir second
    KV_OUTPUT=second/output KV_ERRORS=second/errors KV_VERDICT=second/verdict
    guest "$(network_up 10.9.0.3)
        mkfifo /tmp/open; exec 9<>/tmp/open # an input that never ends
        until nc 10.9.0.2 5001 >/tmp/data <&9 && [ -s /tmp/data ]; do usleep 200000; done
        md5sum </tmp/data | sed 's/^/GOT /'
        echo == interrupts; cat /proc/interrupts" --vfio "$(vf_of "$NIC" 1)" --memory "$MEMORY"
    assert_status 0
    assert_grep "^GOT $served"
    assert_between "receive interrupts" "$(count_interrupts '-rx-')" 10 1000000
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
    kill "$KV_PID"
    kv_wait
}

check_nvme() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    local faults sum
    faults=$(dma_faults)
    guest "$(nvme_text)" --vfio "$NVME" --memory "$MEMORY" --cpus 2
    assert_status 0
    sum=$(sed -n 's/^WRITTEN //p' "$KV_OUTPUT")
    [ -n "$sum" ] || fail "nothing was written"
    assert_grep "READ $sum"
    assert_between "interrupts of its queues" "$(count_interrupts 'nvme0q[1-9]')" 10 1000000
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
    # The host finds the same on the disk.
    bind_to "$NVME" nvme
    local disk left=50
    until disk=$(ls -d "/sys/bus/pci/devices/$NVME"/nvme/nvme*/nvme*n1 2>/dev/null); do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the host's driver does not find the disk"
        sleep 0.2
    done
    modprobe ext4
    mkdir disk
    mount -t ext4 -o ro "/dev/$(basename "$disk" | sed 's/c[0-9]*n/n/')" disk
    sum=${sum%% *}
    local read
    read=$(md5sum <disk/data | cut -d ' ' -f 1)
    umount disk
    assert_equal "what the host reads" "$read" "$sum"
}

# A guest that reboots: the device starts anew, and finds the new kernel's memory.
check_reboot() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    # What an earlier test left there is not it.
    local mark=again-$RANDOM-$RANDOM
    guest "until [ -b /dev/nvme0n1 ]; do usleep 100000; done
        if dd if=/dev/nvme0n1 bs=512 count=1 2>/dev/null | grep -q $mark; then
            echo SECOND; exit 9
        fi
        { echo $mark; cat /dev/zero; } | dd of=/dev/nvme0n1 bs=512 count=1 iflag=fullblock oflag=direct 2>/dev/null
        reboot -f" --vfio "$NVME" --memory "$MEMORY"
    assert_status 9
    assert_grep SECOND
}

# count_calls FUNCTION: starts to count how often the host's kernel calls it; counted tells the number.
count_calls() {
    mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing
    echo "$1" >/sys/kernel/tracing/set_ftrace_filter || skip "this kernel cannot trace $1"
    echo function >/sys/kernel/tracing/current_tracer
    : >/sys/kernel/tracing/trace
}
counted() {
    grep -vc '^#' /sys/kernel/tracing/trace || true
    echo nop >/sys/kernel/tracing/current_tracer
}

# The same without a way to reset the function alone: its slot is reset, for the first guest and the second.
check_slot_reset() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    echo >"/sys/bus/pci/devices/$NVME/reset_method"
    count_calls pci_reset_bus
    check_reboot
    echo default >"/sys/bus/pci/devices/$NVME/reset_method"
    # The kernel does one of its own at the end. Not an assertion that it has gone well: the emulated root
    # port never says that its link is up again, for which the kernel waits.
    assert_between "resets of the slot" "$(counted)" 3 9
    assert_no_grep 'reset only|no way to reset' "$KV_ERRORS"
}

# No messages at all: the pin, which other devices of the guest share, comes and goes.
check_pin() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    guest "$(nvme_text)" --vfio "$NVME" --memory "$MEMORY" --append pci=nomsi
    assert_status 0
    local sum
    sum=$(sed -n 's/^WRITTEN //p' "$KV_OUTPUT")
    [ -n "$sum" ] || fail "nothing was written"
    assert_grep "READ $sum"
    assert_grep 'nvme0q' "$KV_OUTPUT"
    assert_no_grep 'MSI.*nvme0q' "$KV_OUTPUT"
    assert_between "interrupts of the pin" "$(count_interrupts 'nvme0q')" 10 1000000
    assert_no_grep 'nobody cared' "$KV_OUTPUT"
}

# A machine that is killed while its device reads and writes: the next one has it at once.
check_killed() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    local faults
    faults=$(dma_faults)
    guest_start 'until [ -b /dev/nvme0n1 ]; do usleep 100000; done
        n=0
        while :; do
            dd if=/dev/zero of=/dev/nvme0n1 bs=64k count=64 oflag=direct 2>/dev/null
            n=$((n + 1)); echo "round $n"
        done' --vfio "$NVME" --memory "$MEMORY"
    wait_for '^round 3'
    kill -9 "$KV_PID"
    guest "$(nvme_text)" --vfio "$NVME" --memory "$MEMORY"
    assert_status 0
    assert_grep "READ $(sed -n 's/^WRITTEN //p' "$KV_OUTPUT")"
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
}

# An expansion ROM from a file, as the guest reads it; and none.
check_rom() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    /usr/bin/python3 -IS - <<'PYTHON'
import os
rom = bytearray(os.urandom(4096))
rom[0:3] = b"\x55\xaa\x08"
rom[0x18:0x1a] = b"\x1c\x00"
# PCIR, identifiers, no list, 24 bytes, class, 8 units of 512 bytes; the last image.
rom[0x1c:0x34] = b"PCIR" + bytes(6) + b"\x18\x00\x00\x02\x08\x01\x08\x00" + bytes(2) + b"\x00\x80" + bytes(2)
open("rom", "wb").write(rom)
PYTHON
    assert_equal "bytes of the ROM" "$(wc -c <rom)" 4096
    # shellcheck disable=SC2016 # the guest's variable
    local text='until [ -b /dev/nvme0n1 ]; do usleep 100000; done
        device=$(readlink -f /sys/bus/pci/drivers/nvme/0*)
        if [ -e $device/rom ]; then
            echo 1 >$device/rom; md5sum <$device/rom | sed "s/^/ROM /"
        else
            echo NONE
        fi'
    guest "$text" --vfio "$NVME,romfile=rom" --memory "$MEMORY"
    assert_status 0
    assert_grep "^ROM $(md5sum <rom | cut -d ' ' -f 1)"
    guest "$text" --vfio "$NVME,rom=off" --memory "$MEMORY"
    assert_status 0
    assert_grep '^NONE'
}

run_test network check_network
both_test two-guests check_two_guests
both_test nvme check_nvme
long_test nvme-reboot check_reboot
long_test slot-reset check_slot_reset
long_test nvme-pin check_pin
long_test killed check_killed
long_test rom check_rom
