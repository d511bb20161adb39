# SPDX-License-Identifier: Apache-2.0
# Devices that come and go while a Linux guest runs: added and asked back by the user, taken back by the
# host; what the machine holds of the host is the same after every round.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

# needs_hotplug: a machine that can ask its guest to give a device up.
needs_hotplug() {
    needs_vfio
    [ "$ARCH" = x86_64 ] || skip "devices come and go by ACPI, which guests have on x86-64 only"
}

# counts: what the machine holds of the host: files, mappings of devices, and locked memory.
counts() {
    echo "files $(find "/proc/$KV_PID/fd" -mindepth 1 | wc -l)" \
        "mappings $(grep -Ec 'vfio-device|/dev/vfio/' "/proc/$KV_PID/maps")" \
        "locked $(locked)"
}

# deleted COUNT: waits until so many devices are gone.
deleted() {
    local left=600
    until [ "$(grep -c '"DEVICE_DELETED"' events)" -ge "$1" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "device $1 does not go"
        sleep 0.2
    done
}

# A machine without a device gets one, uses it and gives it back, again and again. ROUNDS=100 for a long
# run: scripts/lab --nvme -- env ROUNDS=100 LAB_OUT=build tests/boot/run-inside vfio plug
check_plug() {
    needs_hotplug
    bind_to "$NVME" vfio-pci
    local i faults before='' start=$SECONDS
    faults=$(dma_faults)
    KV_TIMEOUT=$((400 + 60 * ${ROUNDS:-4}))s guest_start 'modprobe nvme
        echo waiting
        n=0
        while :; do
            n=$((n + 1))
            until [ -b /dev/nvme0n1 ]; do usleep 100000; done
            dd if=/dev/urandom of=/tmp/data bs=64k count=4 2>/dev/null
            dd if=/tmp/data of=/dev/nvme0n1 bs=64k oflag=direct 2>/dev/null
            dd if=/dev/nvme0n1 bs=64k count=4 iflag=direct 2>/dev/null | cmp - /tmp/data && echo "used $n"
            while [ -e /dev/nvme0n1 ]; do usleep 100000; done
            echo "gone $n"
        done' --memory 192M --qmp unix:qmp --events events
    wait_for '^waiting'
    for ((i = 1; i <= ${ROUNDS:-4}; i++)); do
        "$KVMLET" ctl qmp device_add driver=vfio-pci id=disk "host=$NVME" || fail "it cannot be added"
        wait_for "^used $i"
        "$KVMLET" ctl qmp device_del id=disk || fail "it cannot be asked back"
        deleted "$i"
        wait_for "^gone $i"
        # KVM's own file for devices comes with the first one, and stays.
        [ -n "$before" ] || before=$(counts)
        assert_equal "what the machine holds after round $i" "$(counts)" "$before"
    done
    figure "${ROUNDS:-4} rounds in $((SECONDS - start)) s, after each of them: $before"
    "$KVMLET" ctl qmp info devices >devices
    assert_no_grep vfio devices
    timeout 20 bash -c "echo $NVME >/sys/bus/pci/drivers/vfio-pci/unbind" || fail "the device is still held"
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
    kill "$KV_PID"
    kv_wait
}

# The host wants its function back while the guest's driver has it, by the command: the guest gives it up in
# time, nobody is left waiting, and nothing is left of it.
check_taken_back() { # check_taken_back COMMAND
    needs_hotplug
    network_vfs 1
    local vf start
    vf=$(vf_of "$NIC" 0)
    guest_start "$(network_up 10.9.0.2)
        ping -c 2 -i 0.3 -W 5 10.9.0.1 >/dev/null && echo ANSWERS
        while [ -e /sys/class/net/\$NIC ]; do usleep 100000; done
        echo GONE
        until ls -d /sys/class/net/*/device/driver | grep -v virtio; do usleep 100000; done
        echo BACK
        while :; do sleep 1; done" --vfio "$vf,id=first" --memory 192M --qmp unix:qmp --events events
    wait_for '^ANSWERS'
    start=$SECONDS
    timeout 60 bash -c "$1" || fail "the writer was held up"
    figure "the writer took $((SECONDS - start)) s"
    assert_between "seconds of the writer" $((SECONDS - start)) 0 30
    wait_for '^GONE'
    deleted 1
    assert_grep 'the guest has 4 seconds to give it up' "$KV_ERRORS"
    assert_no_grep 'the guest did not give it up' "$KV_ERRORS"
    [ ! -e "/sys/bus/pci/devices/$vf" ] || fail "$vf is still there"
    holds_none
    # Functions come anew, and the same guest takes one.
    network_vfs 1
    "$KVMLET" ctl qmp device_add driver=vfio-pci id=second "host=$vf" || fail "the next one cannot be added"
    wait_for '^BACK'
    kill "$KV_PID"
    kv_wait
}

# By force: the guest finds out by itself, and lives. What is no such device is refused in one line.
check_forced() {
    needs_hotplug
    bind_to "$NVME" vfio-pci
    guest_start 'until [ -b /dev/nvme0n1 ]; do usleep 100000; done
        echo HERE
        while [ -e /dev/nvme0n1 ]; do usleep 100000; done
        echo GONE
        while :; do sleep 1; done' --vfio "$NVME,id=disk" --memory 192M --qmp unix:qmp --events events
    wait_for '^HERE'
    ! "$KVMLET" ctl qmp device_del id=nobody >said 2>&1 || fail "nobody was removed"
    assert_grep "Device 'nobody' not found" said
    ! "$KVMLET" ctl qmp device_del id=rng0 >said 2>&1 || fail "a virtio device was removed"
    assert_grep "only vfio-pci devices leave" said
    ! "$KVMLET" ctl qmp device_add driver=vfio-pci id=disk "host=$NVME" >said 2>&1 || fail "added twice"
    assert_grep "Duplicate device ID" said
    "$KVMLET" ctl qmp device_del id=disk __org.kvmlet_force=true || fail "it stays"
    deleted 1
    wait_for '^GONE'
    kill "$KV_PID"
    kv_wait
}

# A guest that does not listen: what it was asked for goes when it is reset.
check_reset_takes() {
    needs_hotplug
    bind_to "$NVME" vfio-pci
    kv_start --kernel "$HANG" --memory 16M --qmp unix:qmp --events events --vfio "$NVME,id=disk"
    wait_socket qmp
    "$KVMLET" ctl qmp device_add driver=vfio-pci id=again "host=$NVME" >said 2>&1 && fail "it is there twice"
    assert_grep 'the guest has it already, as disk' said
    "$KVMLET" ctl qmp device_del id=disk || fail "it cannot be asked back"
    "$KVMLET" ctl qmp reset || fail "no reset"
    deleted 1
    timeout 60 bash -c "echo $NVME >/sys/bus/pci/drivers/vfio-pci/unbind" || fail "it is still held"
    kill "$KV_PID"
    kv_wait
}

run_test plug check_plug
run_test reset-takes check_reset_takes
run_test taken-back check_taken_back "echo 0 >/sys/bus/pci/devices/$NIC/sriov_numvfs"
long_test taken-back-pf check_taken_back "echo $NIC >/sys/bus/pci/drivers/igb/unbind"
long_test forced check_forced
