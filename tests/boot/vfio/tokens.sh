# SPDX-License-Identifier: Apache-2.0
# The VF token against the real kernel: who gets a device, what everybody else is told, and that the
# secret appears nowhere. The guests are tiny: opening the device is the point.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

# tiny FLAG...: runs a guest that only says hello.
tiny() { kv --kernel "$HELLO" --memory 16M "$@"; }

# refused STATUS PATTERN: the last run did not start, said why in one line, and told no secret.
refused() {
    assert_status "$1"
    assert_grep "$2" "$KV_ERRORS"
    assert_equal "the number of lines" "$(wc -l <"$KV_ERRORS")" 1
    assert_no_grep "${TOKEN%%-*}|${OTHER_TOKEN%%-*}" "$KV_ERRORS"
}

accepted() {
    assert_status 0
    assert_no_grep "${TOKEN%%-*}|${OTHER_TOKEN%%-*}" "$KV_ERRORS"
}

check_native() {
    needs_vfio
    network_vfs 1
    local vf
    vf=$(vf_of "$NIC" 0)
    tiny --vfio "$vf"
    accepted
    tiny --vfio "$vf,vf-token=$TOKEN"
    refused 65 "$vf: no token applies, its physical function $NIC is on igb"
    bind_to "$NVME" vfio-pci
    tiny --vfio "$NVME,vf-token=$TOKEN"
    refused 65 "$NVME: no token applies, the device has no virtual functions"
    tiny --vfio "$NIC"
    refused 65 "$NIC: it is bound to igb, not to vfio-pci"
    tiny --vfio "$NVME" --balloon
    refused 64 'leave --balloon or --vfio out'
}

check_table() {
    needs_vfio
    tokened_vfs 2
    local vf
    vf=$(vf_of "$NIC" 0)
    tiny --vfio "$vf"
    refused 65 "$vf: its physical function $NIC is on vfio-pci.*vf-token-file"
    tiny --vfio "$vf,vf-token=$OTHER_TOKEN"
    refused 71 "$vf: incorrect VF token"
    tiny --vfio "$vf,vf-token=${TOKEN}0"
    refused 65 'that is not a token'
    tiny --vfio "$vf,vf-token={$TOKEN}"
    refused 65 'that is not a token'
    tiny --vfio "$vf,vf-token=$TOKEN"
    accepted
    tiny --vfio "$vf,vf-token=$(echo "$TOKEN" | tr a-f A-F)"
    accepted
    echo "$TOKEN" >token
    tiny --vfio "$vf,vf-token-file=token"
    accepted
    tiny --vfio "$vf,vf-token-fd=9" 9<token
    accepted
    tiny --vfio "$vf,vf-token-file=nowhere"
    refused 66 'vf-token-file=nowhere: No such file'
    tiny --vfio "$vf,vf-token-file=token,vf-token=$TOKEN"
    refused 64 'exclude each other'
}

check_in_use() {
    needs_vfio
    tokened_vfs 2
    local first second
    first=$(vf_of "$NIC" 0) second=$(vf_of "$NIC" 1)
    echo "$TOKEN" >token
    KV_TIMEOUT=900s kv_start --kernel "$HANG" --memory 16M --qmp unix:qmp --vfio "$first,vf-token-file=token"
    wait_socket qmp
    # The secret is not where others can see it.
    tr '\0' ' ' <"/proc/$KV_PID/cmdline" >visible
    tr '\0' ' ' <"/proc/$KV_PID/environ" >>visible
    "$KVMLET" ctl qmp info pci >>visible 2>&1 || true
    assert_no_grep "${TOKEN%%-*}" visible
    mkdir second
    KV_ERRORS=second/errors KV_OUTPUT=second/output KV_VERDICT=second/verdict
    # The same function twice, the physical one without and with the token.
    tiny --vfio "$first,vf-token-file=token"
    refused 71 "$first: .*/dev/vfio/(devices/vfio)?[0-9]+ is held by process $KV_PID \(kvmlet\)"
    tiny --vfio "$NIC"
    refused 71 "$NIC: its virtual functions are in use"
    tiny --vfio "$NIC,vf-token=$OTHER_TOKEN"
    refused 71 "$NIC: incorrect VF token"
    # A new token counts at once, for who comes new; who is there stays.
    /usr/bin/python3 -IS "$KVMLET_ROOT/tests/clients/vfio_holder.py" "$NIC" "$OTHER_TOKEN" 0 "$TOKEN"
    tiny --vfio "$second,vf-token=$TOKEN"
    refused 71 "$second: incorrect VF token"
    tiny --vfio "$second,vf-token=$OTHER_TOKEN"
    accepted
    kill -0 "$KV_PID" || fail "the first guest did not survive"
    kill "$KV_PID"
    kv_wait
}

# A physical function is never given to a guest with its last user's token.
check_fresh() {
    needs_vfio
    tokened_vfs 1
    local vf
    vf=$(vf_of "$NIC" 0)
    tiny --vfio "$NIC"
    accepted
    tiny --vfio "$vf,vf-token=$TOKEN"
    refused 71 "$vf: incorrect VF token"
    tiny --vfio "$NIC,vf-token=$OTHER_TOKEN"
    accepted
    tiny --vfio "$vf,vf-token=$OTHER_TOKEN"
    accepted
}

# The host takes functions away, by the command, while one is in use by a guest that does not listen: it loses
# its function when its time is up, at once where it cannot be asked, and the writer is not held up for longer.
check_removal() { # check_removal COMMAND
    needs_vfio
    tokened_vfs 1
    local least=3 said='the guest did not give it up, and loses it now'
    [ "$ARCH" = x86_64 ] || least=0 said='the guest, which cannot be asked, loses it now'
    KV_TIMEOUT=900s kv_start --kernel "$HANG" --memory 16M --qmp unix:qmp --events events \
        --vfio "$(vf_of "$NIC" 0),vf-token=$TOKEN"
    wait_socket qmp
    local start=$SECONDS
    timeout 60 bash -c "$1" || fail "the writer was held up"
    figure "the writer took $((SECONDS - start)) s"
    assert_between "seconds of the writer" $((SECONDS - start)) "$least" 60
    assert_grep "$said" "$KV_ERRORS"
    assert_equal "the number of functions left" "$(cat "/sys/bus/pci/devices/$NIC/sriov_numvfs")" 0
    wait_for '"DEVICE_DELETED"' events
    holds_none
    kill -0 "$KV_PID" || fail "the guest did not survive"
    kill "$KV_PID"
    kv_wait
}

check_memory_limit() {
    needs_vfio
    network_vfs 1
    local vf status=0
    vf=$(vf_of "$NIC" 0)
    may_use "$vf"
    chmod 755 .
    (
        ulimit -l 1024
        setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
            "$KVMLET" run --kernel "$HELLO" --memory 16M --vfio "$vf" >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null
    ) || status=$?
    KV_STATUS=$status
    refused 71 "ulimit -l 16384"
    # Enough, and no privilege at all.
    status=0
    (
        ulimit -l 16384
        setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
            "$KVMLET" run --kernel "$HELLO" --memory 16M --vfio "$vf" >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null
    ) || status=$?
    KV_STATUS=$status
    accepted
}

# interface_of FLAG: by which file a guest's device is reached.
interface_of() {
    rm -f qmp
    KVMLET=$HOST_KVMLET kv_start --kernel "$HANG" --memory 16M --qmp unix:qmp --vfio "$1"
    wait_socket qmp
    find "/proc/$KV_PID/fd" -printf '%l\n' | grep -Ex '/dev/iommu|/dev/vfio/vfio' >interface
    kill "$KV_PID"
    kv_wait
    cat interface
}

# A device is opened by its group's file where there is one, by its own where there is not, or as the user says.
check_interface() {
    needs_vfio
    [ -c /dev/iommu ] || skip "this kernel has no /dev/iommu, the one of 'scripts/lab --kernel iommufd' has"
    bind_to "$NVME" vfio-pci
    assert_equal "the interface" "$(interface_of "$NVME")" /dev/vfio/vfio
    assert_equal "the one that was asked for" "$(interface_of "$NVME,iommufd")" /dev/iommu
    mv /dev/vfio/vfio /dev/vfio/away
    assert_equal "the only one" "$(interface_of "$NVME")" /dev/iommu
    KVMLET=$HOST_KVMLET tiny --vfio "$NVME,iommufd=off"
    mv /dev/vfio/away /dev/vfio/vfio
    refused 69 '/dev/vfio/vfio does not exist'
    mv /dev/iommu /dev/away
    KVMLET=$HOST_KVMLET tiny --vfio "$NVME,iommufd"
    mv /dev/away /dev/iommu
    refused 69 '/dev/iommu does not exist.*CONFIG_IOMMUFD'
}

# Devices come and go: the host keeps nothing of it. ROUNDS=100 for a long run: scripts/lab --nvme --
# env ROUNDS=100 LAB_OUT=build tests/boot/run-inside vfio rounds
check_rounds() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    local i
    for ((i = 0; i < ${ROUNDS:-10}; i++)); do
        tiny --vfio "$NVME"
        accepted
    done
    timeout 60 bash -c "echo $NVME >/sys/bus/pci/drivers/vfio-pci/unbind" || fail "somebody still holds the device"
}

both_test native check_native
both_test table check_table
both_test in-use check_in_use
both_test fresh check_fresh
both_test removal check_removal "echo 0 >/sys/bus/pci/devices/$NIC/sriov_numvfs"
long_test removal-pf check_removal "echo $NIC >/sys/bus/pci/drivers/vfio-pci/unbind"
long_test memory-limit check_memory_limit
long_test rounds check_rounds
long_test interface check_interface
