# SPDX-License-Identifier: Apache-2.0
# kvmlet sriov on the real kernel: drivers, virtual functions, and the broker that hands them to machines
# without privilege.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

# sriov ARGUMENT...: KV_STATUS is its status.
sriov() {
    KV_STATUS=0
    "$KVMLET" sriov "$@" >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null || KV_STATUS=$?
}

# nobody FLAG...: kvmlet run as a user with nothing but the right to lock 16 MiB.
nobody() {
    KV_STATUS=0
    (
        ulimit -l 16384
        exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
            "$KVMLET" run --kernel "$HELLO" --memory 16M --timeout 150s "$@" >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null
    ) || KV_STATUS=$?
}

serve() {
    rm -f socket
    "$KVMLET" sriov serve "$NIC" 2 --socket socket --state state >broker 2>broker.errors </dev/null &
    BROKER=$!
    wait_socket socket
    chmod 666 socket
}

end_broker() {
    kill "$BROKER"
    wait "$BROKER" || fail "the broker's status is $?: $(cat broker.errors)"
}

check_drivers() {
    needs_vfio
    bind_to "$NIC" igb
    set_vfs "$NIC" 0
    sriov create "$NIC" 2
    assert_status 0
    local vf
    vf=$(vf_of "$NIC" 1)
    sriov bind "$vf" "$NVME"
    assert_status 0
    sriov show
    assert_grep "^$NIC .* igb .* PF, 2 of [0-9]+ VFs"
    assert_grep "^$vf .* vfio-pci .* VF of $NIC .*free"
    assert_grep "^$NVME .* vfio-pci .*free"
    modprobe nvme
    sriov unbind "$NVME"
    assert_status 0
    assert_equal "the disk's driver" "$(basename "$(readlink "/sys/bus/pci/devices/$NVME/driver")")" nvme
    sriov bind "$NIC"
    assert_status 65
    assert_grep 'it has virtual functions; remove them first' "$KV_ERRORS"
    bind_to "$NIC" igb
    sriov create "$NIC" 100
    assert_status 65
    assert_grep 'it has at most' "$KV_ERRORS"
    sriov destroy "$NIC"
    assert_status 0
    sriov create "$NVME" 1
    assert_status 65
    bind_to "$NIC" vfio-pci
    echo 0 >/sys/module/vfio_pci/parameters/enable_sriov
    sriov serve "$NIC" 2 --socket socket --state state
    assert_status 69
    assert_grep 'enable_sriov' "$KV_ERRORS"
    echo 1 >/sys/module/vfio_pci/parameters/enable_sriov
}

check_broker() {
    needs_vfio
    bind_to "$NIC" vfio-pci
    echo 1 >/sys/module/vfio_pci/parameters/enable_sriov
    set_vfs "$NIC" 0
    chmod 777 .
    chmod 666 /dev/kvm
    serve
    assert_grep "$NIC: 0=$(vf_of "$NIC" 0) 1=$(vf_of "$NIC" 1)" broker
    assert_equal "the state's mode" "$(stat -c %a state)" 600
    local first second group
    first=$(cat state)
    group=$(basename "$(readlink "/sys/bus/pci/devices/$(vf_of "$NIC" 1)/iommu_group")")
    chmod 600 "/dev/vfio/$group"
    # No right to the group's file, no token: the broker opens.
    nobody --vfio broker:socket,vf=1
    assert_status 0
    second=$(cat state)
    [ "$first" != "$second" ] || fail "the token is the same after a hand-over"
    # What was the token opens nothing any more.
    kv --kernel "$HELLO" --memory 16M --vfio "$(vf_of "$NIC" 0),vf-token=$first"
    assert_status 71
    nobody --vfio broker:socket,vf=2
    assert_status 71
    assert_grep 'there is no virtual function 2' "$KV_ERRORS"
    # One in use is refused to a second, and survives the broker.
    KV_TIMEOUT=900s kv_start --kernel "$HANG" --memory 16M --qmp unix:qmp --vfio broker:socket,vf=0
    wait_socket qmp
    mkdir second
    KV_ERRORS=second/errors KV_OUTPUT=second/output
    nobody --vfio broker:socket,vf=0
    assert_status 71
    assert_grep "is held by process $KV_PID" "$KV_ERRORS"
    end_broker
    kill -0 "$KV_PID" || fail "the machine died with the broker"
    serve
    nobody --vfio broker:socket,vf=1
    assert_status 0
    # The owner takes all back: the machine lets go and lives on.
    end_broker
    sriov destroy "$NIC"
    assert_status 71
    assert_grep "held by process $KV_PID \(kvmlet\)" "$KV_ERRORS"
    sriov destroy "$NIC" --force
    assert_status 0
    kill -0 "$KV_PID" || fail "the machine did not survive"
    kill "$KV_PID"
    kv_wait
}

both_test drivers check_drivers
both_test broker check_broker
