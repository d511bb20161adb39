# SPDX-License-Identifier: Apache-2.0
# Networks, seen by Linux: bytes go to the host and back, and their checksums match.
. "$(dirname "$0")/../lib.sh"

MEGABYTES=12

# Guest side: sends a file of random bytes to port 5001 of HOST and takes one from port 5002.
exchange() { # exchange HOST
    cat <<SHELL
dd if=/dev/urandom of=/tmp/up bs=1M count=$MEGABYTES 2>/dev/null
md5sum </tmp/up | sed 's/^/UP /'
nc $1 5001 </tmp/up || exit 3
mkfifo /tmp/open; exec 9<>/tmp/open # an input that never ends
nc $1 5002 >/tmp/down <&9 || exit 4
md5sum </tmp/down | sed 's/^/DOWN /'
SHELL
}

# Host side of the same.
serve() {
    dd if=/dev/urandom of=down bs=1M count=$MEGABYTES 2>/dev/null
    /usr/bin/python3 -IS - <<'PYTHON' &
import socket
up, down = socket.create_server(("", 5001)), socket.create_server(("", 5002))
open("serving", "w").close()
peer, _ = up.accept()
with open("up", "wb") as file:
    while data := peer.recv(1 << 16):
        file.write(data)
peer.close()
peer, _ = down.accept()
peer.sendall(open("down", "rb").read())
peer.shutdown(socket.SHUT_WR)
peer.recv(1)
PYTHON
    SERVER=$!
    local left=100
    until [ -e serving ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the server does not come up"
        sleep 0.1
    done
    rm serving
}

check_exchange() {
    kill "$SERVER" 2>/dev/null || true
    assert_status 0
    assert_grep "UP $(md5sum <up | cut -d ' ' -f 1)"
    assert_grep "DOWN $(md5sum <down | cut -d ' ' -f 1)"
    assert_equal "the number of bytes that arrived" "$(stat -c %s up)" $((MEGABYTES << 20))
}

make_tap() { # make_tap NAME [OPTION]...
    needs_lab
    modprobe tun 2>/dev/null
    [ -c /dev/net/tun ] || skip "no /dev/net/tun here"
    ip tuntap add dev "$1" mode tap "${@:2}"
    ip address add 192.168.77.1/24 dev "$1"
    ip link set "$1" up
}

check_tap() { # check_tap VHOST QUEUES
    [ "$1" = off ] || modprobe vhost_net 2>/dev/null || skip "no vhost_net here"
    local multi=
    [ "$2" = 1 ] || multi=multi_queue
    make_tap kv0 ${multi:+"$multi"}
    serve
    guest "ip link set eth0 up && ip address add 192.168.77.2/24 dev eth0
           cat /sys/class/net/eth0/address; ls -d /sys/class/net/eth0/queues/rx-* | wc -l
           $(exchange 192.168.77.1); grep -E 'virtio.*(input|output)' /proc/interrupts" \
        --net "tap=kv0,vhost=$1,queues=$2,mac=52:54:00:12:34:56" --cpus 2
    ip link delete kv0
    check_exchange
    assert_grep '52:54:00:12:34:56'
    assert_grep "^$2\$"
    assert_grep "^ *[0-9]+:( +0)* +[1-9][0-9]* .*$DEVICE_INTERRUPT.*virtio.*-input"
}

check_passt() {
    needs_tool passt
    needs_lab
    # passt copies the host's addresses: give the lab one, with a route.
    ip link add up0 type dummy 2>/dev/null || skip "no dummy network device here"
    ip address add 10.55.0.2/24 dev up0
    ip link set up0 up
    ip route add default via 10.55.0.1
    serve
    guest "ip link set eth0 up && ip address add 10.55.0.2/24 dev eth0
           ip route add default via 10.55.0.1; $(exchange 10.55.0.1)" --net passt --cpus 2
    ip link delete up0
    check_exchange
    sleep 1
    assert_equal "the number of passt processes left" "$(pgrep -c passt)" 0
}

check_no_permission() {
    needs_lab
    make_tap kv1 user root
    local status=0
    guest_flags 'exit 0'
    chmod 755 .
    chmod 666 /dev/kvm
    setpriv --reuid 65534 --regid 65534 --groups "$(stat -c %g /dev/kvm)" --inh-caps=-all \
        "$KVMLET" run "${GUEST_FLAGS[@]}" --net tap=kv1 >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null || status=$?
    ip link delete kv1
    [ "$status" = 71 ] || fail "status is $status: $(cat "$KV_ERRORS")"
    assert_grep 'kvmlet run: --net tap=kv1' "$KV_ERRORS"
    assert_equal "the number of lines" "$(wc -l <"$KV_ERRORS")" 1
}

check_vsock() {
    needs_lab
    modprobe vhost_vsock 2>/dev/null || skip "no vhost_vsock here"
    cp "$TEST_PROGRAMS/boot/vsend" .
    /usr/bin/python3 - >received <<'PYTHON' &
import socket
server = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
server.bind((socket.VMADDR_CID_ANY, 7000))
server.listen()
peer, address = server.accept()
data = b""
while chunk := peer.recv(65536):
    data += chunk
print(address[0], len(data), data[:5].decode())
PYTHON
    local server=$!
    guest_flags 'modprobe vsock 2>/dev/null; /vsend 2 7000 hello 300000'
    echo vsend | cpio -o -H newc --quiet >>initrd.img
    with_append --vsock cid=33
    sleep 1
    kv "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    assert_status 0
    wait "$server"
    assert_grep '^33 300000 hello' received
}

both_test tap check_tap off 1
run_test tap-two-queues check_tap off 2
run_test tap-vhost check_tap on 1
run_test passt check_passt
run_test tap-without-permission check_no_permission
run_test vsock check_vsock
