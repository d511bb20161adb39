# SPDX-License-Identifier: Apache-2.0
# A physical function whose driver is in a guest: one machine has the NVMe disk with SR-IOV and gives its
# virtual functions their queues; another, without privilege, gets one by its index and keeps files on it.
# The host's own driver has no part in it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

serve_guest_pf() {
    rm -f socket
    "$KVMLET" sriov serve "$NVME_SRIOV" 2 --guest-pf --socket socket --state state >broker 2>broker.errors </dev/null &
    BROKER=$!
    wait_socket socket
    chmod 666 socket
}

end_broker() {
    kill "$BROKER"
    wait "$BROKER" || fail "the broker's status is $?: $(cat broker.errors)"
}

check_guest_pf() {
    needs_vfio
    bind_to "$NVME_SRIOV" vfio-pci
    echo 1 >/sys/module/vfio_pci/parameters/enable_sriov
    set_vfs "$NVME_SRIOV" 0
    local faults sum owner token
    faults=$(dma_faults)
    serve_guest_pf
    token=$(cat state)
    cp "$TEST_PROGRAMS/boot/vfio/secondary" .
    guest_flags 'until [ -b /dev/nvme0n1 ]; do usleep 100000; done
        /secondary /dev/nvme0 2 2 1 && echo MANAGED
        while :; do sleep 1; done'
    echo secondary | cpio -o -H newc --quiet >>initrd.img
    with_append --vfio "$NVME_SRIOV,vf-token-file=state" --memory 192M
    KV_OUTPUT=owner-output KV_ERRORS=owner-errors KV_VERDICT=owner-verdict
    KV_TIMEOUT=900s kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    owner=$KV_PID
    wait_for '^MANAGED'
    # The broker needs the function no more, not even when it starts again.
    end_broker
    serve_guest_pf
    assert_equal "the token after another start" "$(cat state)" "$token"
    # Without the broker nobody gets a function.
    KV_OUTPUT=output KV_ERRORS=errors KV_VERDICT=verdict.json
    kv --kernel "$HELLO" --memory 16M --vfio "$(vf_of "$NVME_SRIOV" 0),vf-token=$OTHER_TOKEN"
    assert_status 71
    assert_grep 'incorrect VF token' "$KV_ERRORS"
    unprivileged 196608
    guest "$(nvme_text)" --vfio broker:socket,vf=0 --memory 192M
    assert_status 0
    sum=$(sed -n 's/^WRITTEN //p' "$KV_OUTPUT")
    [ -n "$sum" ] || fail "nothing was written"
    assert_grep "READ $sum"
    assert_between "interrupts of its queues" "$(count_interrupts 'nvme0q')" 10 1000000
    kill -0 "$owner" || fail "the owner's machine did not survive: $(tail -n 1 owner-errors)"
    assert_equal "DMA faults of the host" "$(dma_faults)" "$faults"
    assert_no_grep "${token%%-*}" "$KV_ERRORS"
    assert_no_grep "${token%%-*}" owner-errors
    end_broker
    kill "$owner"
    wait "$owner" || true
    set_vfs "$NVME_SRIOV" 0
}

both_test guest-pf check_guest_pf
