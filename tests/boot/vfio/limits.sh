# SPDX-License-Identifier: Apache-2.0
# Hosts that have too little of something for a device: the refusal says what, and nothing stays behind.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

LIMIT=/sys/module/vfio_iommu_type1/parameters/dma_entry_limit

# No mapping is left for the guest's memory.
check_mappings() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    local before
    before=$(cat "$LIMIT")
    echo 0 >"$LIMIT"
    kv --kernel "$HELLO" --memory 16M --vfio "$NVME"
    echo "$before" >"$LIMIT"
    assert_status 71
    assert_grep 'too many mappings; raise .*/dma_entry_limit' "$KV_ERRORS"
    kv --kernel "$HELLO" --memory 16M --vfio "$NVME"
    assert_status 0
}

# Fewer files than a machine needs, at every point of its start: it says so, and ends.
check_files() {
    needs_vfio
    bind_to "$NVME" vfio-pci
    local files refused=0
    for files in 8 12 16 20 24 28 32 40 48 64; do
        KV_STATUS=0
        (
            ulimit -n "$files"
            exec "$KVMLET" run --timeout "$KV_TIMEOUT" --kernel "$HELLO" --memory 16M --vfio "$NVME" \
                >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null
        ) || KV_STATUS=$?
        [ "$KV_STATUS" != 0 ] || continue
        refused=$((refused + 1))
        assert_between "the status with $files files" "$KV_STATUS" 64 71
        assert_grep 'EMFILE|[Tt]oo many open files' "$KV_ERRORS"
    done
    figure "refused with $refused of 10 limits"
    assert_between "limits that are too low" "$refused" 1 9
    timeout 60 bash -c "echo $NVME >/sys/bus/pci/drivers/vfio-pci/unbind" || fail "somebody still holds the device"
}

long_test mappings-limit check_mappings
long_test files-limit check_files
