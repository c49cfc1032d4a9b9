#!/bin/bash
# A Slurm cluster with two nodes on one Linux machine, for tests in a container.
#
# Usage: slurm.sh start <folder> | slurm.sh stop <folder>
#
# Needs root and Debian's packages: apt-get install slurm-wlm (slurmctld, slurmd, munge).
# "start" writes the configuration, logs and state to <folder>, adds the names of the nodes to /etc/hosts, and starts
# munged (if it does not run), slurmctld and two slurmd. Then set SLURM_CONF=<folder>/slurm.conf to use the cluster.
# "stop" ends the Slurm daemons and removes the names. munged remains.
#
# The partition "low" may be preempted by "high", with 30 s of grace.
set -eu
folder=$(realpath "$2")
export SLURM_CONF=$folder/slurm.conf

start() {
    mkdir -p "$folder"/{state,node1,node2}
    cat > "$SLURM_CONF" << EOF
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/slurmctld.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdSpoolDir=$folder/%n
SlurmdPidFile=$folder/%n.pid
SlurmdLogFile=$folder/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=node1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16818 CPUs=4 RealMemory=8000
NodeName=node2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16819 CPUs=4 RealMemory=8000
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=30
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
EOF
    grep -q '# autoencoders test' /etc/hosts || echo '127.0.0.1 node1 node2 # autoencoders test' >> /etc/hosts
    if ! munge -n > /dev/null 2>&1; then
        mkdir -p /run/munge
        chown -R munge: /run/munge
        runuser -u munge -- munged
    fi
    slurmctld
    slurmd -N node1
    slurmd -N node2
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --format %D --states idle)" = 2 ] && return
        sleep 1
    done
    tail -n 5 "$folder"/*.log
    return 1
}

stop() {
    for pid in "$folder"/*.pid; do
        kill "$(cat "$pid")" || true
    done
    # Not sed -i, which replaces the file: in a container, /etc/hosts is often a mount.
    hosts=$(grep -v '# autoencoders test' /etc/hosts)
    echo "$hosts" > /etc/hosts
}

"$1"
