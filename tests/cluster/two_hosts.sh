#!/bin/bash
# Train with torchrun on two "hosts": network namespaces of this machine, connected by a virtual cable.
#
# Usage: two_hosts.sh <folder> [<seconds until the cable is cut>] [<option of autoencoders.train> ...]
#
# Needs root and iproute2. It changes: the namespaces ae1 and ae2 and the files /etc/netns/ae*, which are removed at the
# end. It writes to <folder>: the run, host1.out, host1.err and host1.rc (the exit status), the same for host2, and
# cut.time and end.time in seconds, if the cable is cut. Seconds of 0 leave the cable as it is.
set -u
folder=$(realpath "$1") cut=${2:-0}
shift 2
python=${PYTHON:-python}
cd "$folder"

clean() {
    ip netns del ae1 2> /dev/null
    ip netns del ae2 2> /dev/null
    rm -rf /etc/netns/ae1 /etc/netns/ae2
}
trap clean EXIT
clean
for i in 1 2; do
    ip netns add ae$i || exit 1
    mkdir -p /etc/netns/ae$i  # "ip netns exec" puts this file in the place of /etc/hosts
    printf '127.0.0.1 localhost\n10.77.0.1 host1\n10.77.0.2 host2\n' > /etc/netns/ae$i/hosts
done
ip link add cable1 netns ae1 type veth peer name cable2 netns ae2 || exit 1
for i in 1 2; do
    ip -n ae$i addr add 10.77.0.$i/24 dev cable$i
    ip -n ae$i link set cable$i up
    ip -n ae$i link set lo up
done

# start <host> <option> ...: the command of the README, with a host name of its own.
start() {
    local host=$1
    shift
    ip netns exec ae"$host" unshare --uts bash -c "hostname host$host && exec \"\$@\"" _ \
        "$python" -m torch.distributed.run --nnodes 2 --nproc-per-node 1 --node-rank $((host - 1)) --master-addr host1 --master-port 29500 \
        -m autoencoders.train \
        trainer=ddp_cpu trainer.devices=1 trainer.num_nodes=2 hydra.run.dir=run "$@" > host"$host".out 2> host"$host".err
    echo $? > host"$host".rc
}

start 1 "$@" &
start 2 "$@" &
if [ "$cut" != 0 ]; then
    until [ -f run/checkpoints/last.ckpt ]; do sleep 1; done
    sleep "$cut"
    ip -n ae2 link set cable2 down
    date +%s > cut.time
fi
wait
date +%s > end.time
