#!/usr/bin/env bash
# The workflow on a real Slurm: one node, this machine, with daemons and settings of its own (`make cluster-test`). Debian or Ubuntu,
# as root: Slurm and MUNGE come from there. A machine that has a Slurm of its own is left alone.
#
#   scripts/cluster_test.sh COMMAND...     runs the command beside the cluster
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || { echo "cluster-test: needs Debian or Ubuntu, and root" >&2; exit 1; }
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
fi
# Jobs find their cluster here, whatever their environment says.
conf=/etc/slurm/slurm.conf
[ ! -e "$conf" ] || { echo "cluster-test: $conf is there: this machine has a Slurm of its own" >&2; exit 1; }

# MUNGE wants folders that nobody else can write to.
work=$(mktemp -d /run/lacuna-cluster.XXXXXX)
chmod 755 "$work"
started=()
stop() {
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do kill "${started[i]}" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work" "$conf"
}
trap stop EXIT

mungekey --create --keyfile "$work/munge.key"
munged --foreground --force --key-file "$work/munge.key" --socket "$work/munge.socket" --pid-file "$work/munged.pid" \
    --log-file "$work/munged.log" --seed-file "$work/munge.seed" >/dev/null 2>&1 &
started+=($!)
host=$(hostname -s)
mkdir "$work/state" "$work/spool"
cat >"$work/slurm.conf" <<CONF
ClusterName=lacuna
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_min_interval=1000000
MpiDefault=none
ReturnToService=2
MinJobAge=3600
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
PartitionName=test Nodes=$host Default=YES MaxTime=60 State=UP
CONF
mkdir -p "${conf%/*}"
ln -s "$work/slurm.conf" "$conf"
for ((i = 0; i < 50; i++)); do [ -S "$work/munge.socket" ] && break; sleep 0.1; done
slurmctld -D >/dev/null 2>&1 &
started+=($!)
slurmd -D -N "$host" >/dev/null 2>&1 &
started+=($!)
for ((i = 0; i < 300; i++)); do
    sinfo --noheader --format %t 2>/dev/null | grep -q idle && break
    sleep 0.1
done
sinfo --noheader --format %t 2>/dev/null | grep -q idle || {
    echo "cluster-test: the node does not come up" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}
echo "cluster-test: $(sinfo --version) with the node $(sinfo --noheader --format '%N, %c processors, partition %P')"
"$@"
