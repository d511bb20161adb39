# SPDX-License-Identifier: Apache-2.0
# Every way a Linux guest can end gives its documented status and verdict.
. "$(dirname "$0")/../lib.sh"

check_exit() { # check_exit STATUS CODE
    guest "exit $2"
    assert_status "$1"
    assert_json reason exit
    assert_json door verdict-port
    assert_json code "$2"
}

check_verdict_text() {
    # shellcheck disable=SC2016 # expanded in the guest
    guest 'for n in /sys/class/virtio-ports/*/name; do
               grep -qx kvmlet.verdict "$n" && port=$(basename "${n%/name}"); done
           echo "200 because it said so" >/dev/$port; sleep 60'
    assert_status 63
    assert_json code 200
    assert_json text 'because it said so'
}

check_exit_device() {
    guest "$WRITE_EXIT_DEVICE; sleep 60"
    assert_status 9
    assert_json door exit-device
}

check_poweroff() {
    guest 'poweroff -f; sleep 60'
    assert_status 0
    assert_json reason poweroff
    assert_json door "$POWEROFF_DOOR"
}

check_panic() {
    guest 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 60'
    assert_status 80
    assert_json reason panic
    assert_json door "$PANIC_DOOR"
    json_get registers | grep -q "$PC_REGISTER" || fail "the verdict has no registers"
}

# Before any driver is there: the kernel says it on the console and resets.
check_early_panic() {
    guest 'exit 0' --append 'rdinit=/nowhere root=/dev/nowhere'
    assert_status 80
    assert_json reason panic
    assert_json door console
    json_get text | grep -q 'VFS: Unable to mount root' || fail "text is $(json_get text)"
}

check_reboot_exit() { # check_reboot_exit DOOR [FLAG]...
    guest "reboot -f; sleep 60" --on-reset exit "${@:2}"
    assert_status 82
    assert_json reason reset
    assert_json door "$1"
}

# The disk remembers that the machine was up before.
check_reboot() {
    truncate -s 1M disk.img
    guest 'if [ "$(head -c 4 /dev/vda)" = once ]; then nproc; exit 21; fi
           printf once | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null; reboot -f; sleep 60' \
        --disk disk.img --cpus 2 --events events "$@"
    assert_status 21
    assert_grep '^2$'
    assert_grep '"event": *"RESET"' events
    assert_grep '"reason": *"guest-reset"' events
}

check_triple_fault() {
    guest 'reboot -f; sleep 60' --append 'reboot=t,f'
    assert_status 81
    assert_json reason triple-fault
}

check_timeout() {
    KV_TIMEOUT=25s guest 'echo READY; sleep 600' --on-hang report --cpus 2
    assert_status 124
    assert_json reason timeout
    json_get registers | grep -q 'vcpu 1' || fail "the report lacks a vCPU"
    assert_grep "$PC_REGISTER" "$KV_ERRORS"
}

# The kernel's messages show that the guest is not idle while it boots.
check_idle_timeout() {
    GUEST_LOGLEVEL=7 guest 'echo READY; sleep 600' --idle-timeout 30s
    assert_status 124
    assert_json reason idle-timeout
    assert_grep READY
}

check_signal() { # check_signal NAME STATUS
    # Without job control bash has its background processes ignore SIGINT.
    set -m
    guest_start 'echo READY; sleep 600'
    wait_for READY
    kill "-$1" "$KV_PID"
    kv_wait
    assert_status "$2"
    assert_json reason signal
    assert_json text "SIG$1"
}

check_power_button() {
    guest_start 'modprobe evdev; sleep 1; echo READY
                 dd if=/dev/input/event0 bs=24 count=1 of=/dev/null 2>/dev/null
                 echo PRESSED; poweroff -f; sleep 60' --qmp unix:vm.sock --events events
    wait_for READY
    "$KVMLET" ctl vm.sock powerdown
    kv_wait
    assert_grep PRESSED
    assert_status 0
    assert_json door "$POWEROFF_DOOR"
    assert_grep '"event": *"POWERDOWN"' events
}

both_test exit-0 check_exit 0 0
run_test exit-7 check_exit 7 7
long_test exit-255 check_exit 63 255
run_test verdict-text check_verdict_text
run_test exit-device check_exit_device
run_test poweroff check_poweroff
run_test panic check_panic
both_test early-panic check_early_panic
both_test reboot-exit check_reboot_exit "$RESET_DOOR"
run_test reboot check_reboot
if [ "$ARCH" = x86_64 ]; then
    long_test reboot-exit-acpi check_reboot_exit acpi-reset --append reboot=a
    run_test reboot-by-keyboard-controller check_reboot --append 'reboot=k'
    long_test reboot-by-pci check_reboot --append 'reboot=p'
    run_test triple-fault check_triple_fault
fi
run_test timeout check_timeout
run_test idle-timeout check_idle_timeout
run_test sigterm check_signal TERM 143
long_test sigint check_signal INT 130
run_test power-button check_power_button
