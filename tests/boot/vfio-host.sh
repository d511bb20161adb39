# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# The lab's passthrough hardware, for the tests that source this after lib.sh: an SR-IOV network card,
# an NVMe disk with SR-IOV and one without, and what to do with them on the host.

# A device that starts, or starts anew, takes a slow machine longer than a guest without.
KV_TIMEOUT=400s
NIC=0000:01:00.0 NVME_SRIOV=0000:02:00.0 NVME=0000:03:00.0
PAYLOADS=$(build_folder "$ARCH")/guest-images/payloads
case $ARCH in x86_64) PAYLOAD=elf ;; *) PAYLOAD=flat ;; esac
HELLO=$PAYLOADS/hello.$PAYLOAD HANG=$PAYLOADS/hang.$PAYLOAD
TOKEN=11111111-2222-3333-4444-555555555555
OTHER_TOKEN=99999999-2222-3333-4444-555555555555

# KVMLET_VFIO=iommufd: every device that kvmlet opens itself it opens by that interface. HOST_KVMLET is kvmlet
# as it is.
HOST_KVMLET=$KVMLET
if [ "${KVMLET_VFIO:-}" = iommufd ]; then
    cat >/tmp/kvmlet-iommufd <<WRAPPER
#!/bin/bash
words=() last=
for word; do
    case \$last,\$word in
        --vfio,broker:*) ;;
        --vfio,*) word=\$word,iommufd ;;
    esac
    words+=("\$word")
    last=\$word
done
[[ " \$* " != *" device_add "* ]] || words+=(iommufd=true)
exec $KVMLET "\${words[@]}"
WRAPPER
    chmod 755 /tmp/kvmlet-iommufd
    KVMLET=/tmp/kvmlet-iommufd
fi

needs_vfio() {
    needs_lab
    [ -e "/sys/bus/pci/devices/$NIC" ] || skip "the lab has no SR-IOV network card"
    [ -e "/sys/bus/pci/devices/$NVME" ] || skip "the lab has no NVMe disk"
    modprobe -a vfio_iommu_type1 vfio-pci || skip "this kernel has no VFIO"
}

# bind_to BDF DRIVER: hands a function to a driver.
bind_to() {
    local device=/sys/bus/pci/devices/$1
    [ "$(basename "$(readlink "$device/driver")")" != "$2" ] || return 0
    [ ! -e "$device/driver" ] || echo "$1" >"$device/driver/unbind"
    modprobe "$2"
    echo "$2" >"$device/driver_override"
    echo "$1" >/sys/bus/pci/drivers_probe
    [ "$(basename "$(readlink "$device/driver")")" = "$2" ] || fail "$1 does not bind to $2"
}

# wait_socket PATH: until somebody listens there, or has left a reason.
wait_socket() {
    local left=600
    until [ -S "$1" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "$1 does not appear: $(cat broker.errors "$KV_ERRORS" 2>/dev/null)"
        sleep 0.2
    done
}

vf_of() { basename "$(readlink "/sys/bus/pci/devices/$1/virtfn$2")"; } # vf_of PF INDEX
set_vfs() { echo "$2" >"/sys/bus/pci/devices/$1/sriov_numvfs"; }       # set_vfs PF COUNT

# network_vfs COUNT: the card on its own driver, up, with virtual functions on vfio-pci.
network_vfs() {
    local i
    bind_to "$NIC" igb
    set_vfs "$NIC" 0
    set_vfs "$NIC" "$1"
    NIC_NAME=$(ls "/sys/bus/pci/devices/$NIC/net")
    ip link set "$NIC_NAME" up
    ip address replace 10.9.0.1/24 dev "$NIC_NAME"
    for ((i = 0; i < $1; i++)); do bind_to "$(vf_of "$NIC" $i)" vfio-pci; done
}

# tokened_vfs COUNT: the card on vfio-pci, its token set, with virtual functions.
tokened_vfs() {
    bind_to "$NIC" vfio-pci
    echo 1 >/sys/module/vfio_pci/parameters/enable_sriov
    set_vfs "$NIC" 0
    set_token "$TOKEN"
    set_vfs "$NIC" "$1"
}

# set_token UUID: as a user of the physical function does, who then leaves.
set_token() { /usr/bin/python3 -IS "$KVMLET_ROOT/tests/clients/vfio_holder.py" "$NIC" "$1" 0; }

# dma_faults: how often a device has reached where it may not.
dma_faults() { dmesg | grep -Ec 'DMAR:.*fault|arm-smmu-v3.*event' || true; }

# may_use BDF: whoever is not root may open the device, by either interface.
may_use() {
    local device=/sys/bus/pci/devices/$1 file
    for file in /dev/kvm /dev/vfio/vfio "/dev/vfio/$(basename "$(readlink "$device/iommu_group")")" \
        /dev/iommu "/dev/vfio/devices/$(ls "$device/vfio-dev" 2>/dev/null)"; do
        [ ! -c "$file" ] || chmod 666 "$file"
    done
}

# locked: KiB that the kernel holds for the machine's devices. Of IOMMUFD's it tells in another place, and not for
# who may lock without limit.
locked() {
    local name=VmLck
    [ "${KVMLET_VFIO:-}" != iommufd ] || name=VmPin
    awk -v name=$name: '$1 == name { print $2 }' "/proc/$KV_PID/status"
}

# holds_none: the machine has no file of VFIO's open, but for KVM's own.
holds_none() {
    local held
    held=$(find "/proc/$KV_PID/fd" -printf '%l ' | grep -Eo '[^ ]*(vfio-device|dev/vfio|dev/iommu)[^ ]*') || return 0
    fail "the machine still holds ${held//$'\n'/, }"
}

# What a guest runs: brings the one interface of a real device up as ADDRESS.
network_up() { # network_up ADDRESS
    cat <<SHELL
for n in /sys/class/net/*; do [ ! -e \$n/device ] || NIC=\$(basename \$n); done
ip link set \$NIC up
until [ "\$(cat /sys/class/net/\$NIC/carrier 2>/dev/null)" = 1 ]; do usleep 100000; done
ip address add $1/24 dev \$NIC
SHELL
}

# Sum of the guest's interrupts whose line matches, from its own table.
count_interrupts() { section interrupts | awk -v name="$1" '$0 ~ name { n += $2 + $3 } END { print n + 0 }'; }

# nvme_text: a file system made, filled and read back after a remount.
nvme_text() {
    cat <<'SHELL'
until [ -b /dev/nvme0n1 ]; do usleep 100000; done
mkfs.ext4 -q /dev/nvme0n1 && mount -t ext4 /dev/nvme0n1 /mnt || exit 3
dd if=/dev/urandom of=/mnt/data bs=1M count=8 2>/dev/null
md5sum </mnt/data | sed 's/^/WRITTEN /'
umount /mnt; e2fsck -fn /dev/nvme0n1 >/dev/null 2>&1 || exit 4
echo 3 >/proc/sys/vm/drop_caches; mount -t ext4 /dev/nvme0n1 /mnt || exit 5
md5sum </mnt/data | sed 's/^/READ /'
echo == interrupts; cat /proc/interrupts
SHELL
}

# unprivileged KIB: from here on $KVMLET is nobody's, who may lock so much memory. Its process is kvmlet's.
unprivileged() {
    printf '#!/bin/bash\nulimit -l %s\nexec %s %q "$@"\n' "$1" \
        "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all" "$KVMLET" >unprivileged
    chmod 755 unprivileged
    chmod 777 .
    chmod 666 /dev/kvm
    KVMLET=$PWD/unprivileged
}
