# SPDX-License-Identifier: Apache-2.0
# What the driver of the physical function decides for a virtual one.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../vfio-host.sh"

MEMORY=192M

# The guest has the address that was set, and afterwards all is as it was.
check_vf_settings() {
    needs_vfio
    network_vfs 2
    local before wanted='mac=02:00:00:00:00:42 vlan=0 trust=on spoofchk=off'
    before=$("$KVMLET" sriov vf "$NIC" 0)
    # shellcheck disable=SC2086 # words
    assert_equal 'what it is then' "$("$KVMLET" sriov vf "$NIC" 0 $wanted --state state)" "$NIC 0 $wanted"
    "$KVMLET" sriov vf "$NIC" 0 vlan=7 --state state >set
    assert_grep "^$NIC 0 mac=02:00:00:00:00:42 vlan=7 trust=on spoofchk=off$" set
    ip link show "$NIC_NAME" >link
    assert_grep 'vf 0 .*02:00:00:00:00:42.*vlan 7, spoof checking off.*trust on' link
    "$KVMLET" sriov vf "$NIC" 0 vlan=0 >set
    assert_equal "the file's mode" "$(stat -c %a state)" 600
    guest "$(network_up 10.9.0.2)
        cat /sys/class/net/*/address; ping -c 3 -i 0.3 -W 5 10.9.0.1 >/dev/null || exit 3" \
        --vfio "$(vf_of "$NIC" 0)" --memory "$MEMORY"
    assert_status 0
    assert_grep '^02:00:00:00:00:42'
    local status=0
    "$KVMLET" sriov vf "$NIC" 9 2>err || status=$?
    assert_equal status "$status" 65
    assert_grep 'there is no virtual function 9' err
    "$KVMLET" sriov restore --state state
    assert_equal 'what it is in the end' "$("$KVMLET" sriov vf "$NIC" 0)" "$before"
    assert_equal 'what is left to restore' "$(cat state)" ''
}

long_test vf-settings check_vf_settings
