# SPDX-License-Identifier: Apache-2.0
# A guest that does its worst to the function it was given: the machine lives, the host hears nothing of
# it, nothing is used up, and the device works afterwards.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

# counts: what the machine holds of the host: files, and mappings of the device.
counts() {
    echo "files $(find "/proc/$KV_PID/fd" -mindepth 1 | wc -l)" \
        "mappings $(grep -Ec 'vfio-device|/dev/vfio/' "/proc/$KV_PID/maps")"
}

# A virtual function: the host's kernel answers for its memory decoding, so that the emulated card itself
# is left in peace. ROUNDS=500 for a million configuration writes: scripts/lab --nvme -- env ROUNDS=500
# LAB_OUT=build tests/boot/run-inside vfio storm
check_storm() {
    needs_vfio
    network_vfs 1
    local faults before rounds=${ROUNDS:-4}
    faults=$(dma_faults)
    cp "$TEST_PROGRAMS/boot/vfio/storm" .
    guest_flags "device=\$(readlink -f /sys/bus/pci/drivers/igbvf/0*)
        echo \${device##*/} >/sys/bus/pci/drivers/igbvf/unbind
        /storm \$device $rounds || exit 3
        echo \${device##*/} >/sys/bus/pci/drivers/igbvf/bind || exit 4
        $(network_up 10.9.0.2)
        ping -c 3 -i 0.3 -W 5 10.9.0.1 >/dev/null && echo ANSWERS"
    echo storm | cpio -o -H newc --quiet >>initrd.img
    with_append --vfio "$(vf_of "$NIC" 0)" --memory 192M --cpus 2
    KV_TIMEOUT=1500s kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    wait_for '^storm round 1' "$KV_OUTPUT" 600
    before=$(counts)
    wait_for "^storm round $((rounds - 1))" "$KV_OUTPUT" 1200
    assert_equal "what the machine holds" "$(counts)" "$before"
    kv_wait
    assert_status 0
    assert_grep '^storm reads yes'
    assert_grep ANSWERS
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
    assert_between "lines of the log" "$(wc -l <"$KV_ERRORS")" 0 60
}

both_test storm check_storm
