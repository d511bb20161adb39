# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Where guests run: on this machine's KVM or in the lab. Needs common.sh and a built kvmlet.

# kvm_runs_linux: true when this machine's KVM runs a guest kernel, and at a kernel's speed: there
# are paravirtual ones that emulate privileged code a thousand times slower, or not completely.
kvm_runs_linux() {
    [ -c /dev/kvm ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
    timeout 20 "$KVMLET_BUILD/kvmlet" doctor --probe >/dev/null 2>&1 </dev/null
}

# choose_host ARCH: prints 'host' or 'lab' and says which and why. KVMLET_HOST=host|lab decides beforehand.
choose_host() {
    local choice=${KVMLET_HOST:-}
    if [ "$1" != "$(machine_arch)" ]; then
        say "guests run in the $1 lab, an emulated machine"
        echo lab
        return
    fi
    case $choice in
        lab) say "guests run in the lab, an emulated machine, as KVMLET_HOST asks" ;;
        host) say "guests run on this machine's KVM, as KVMLET_HOST asks" ;;
        '')
            if kvm_runs_linux; then
                choice=host
                say "guests run on this machine's KVM"
            else
                choice=lab
                say "guests run in the lab, an emulated machine: this one has no KVM that runs a guest kernel at speed"
            fi
            ;;
        *) usage_error "KVMLET_HOST is '$choice': host or lab" ;;
    esac
    printf '%s\n' "$choice"
}
