#!/usr/bin/env bash
# One Ray cluster for one Slurm job: a head on the first node, a worker on every other node, then the driver.
#
#   sbatch --nodes=4 --gpus-per-node=8 cluster/slurm.sh [CONFIG]
#
# Run it from the repository's root. Submitting it again continues the same run: what was committed stays.
#
# Environment, all optional:
#   TOOLACE_VENV          virtual environment to activate (default .venv, skipped where there is none)
#   TOOLACE_HEAD_IP       address the workers dial, for nodes with several networks (default: first IPv4 address)
#   TOOLACE_HEAD_PORT     port of the head (default 6379; not 10002-19999, where Ray puts its worker processes)
#   TOOLACE_JOIN_TIMEOUT  seconds within which all nodes must have joined (default 600)
#   TOOLACE_JOIN_POLL     seconds between two looks (default 2)
#
#SBATCH --job-name=toolace
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --output=toolace-%j.log
# A second Ray on a node would contend for the ports that each node's agents listen on.
#SBATCH --exclusive
# Losing a worker node costs its replicas, not the job.
#SBATCH --no-kill
# Time to stop cleanly before the limit; B: because the batch shell holds the trap.
#SBATCH --signal=B:TERM@120

set -euo pipefail

cd "${SLURM_SUBMIT_DIR:?run this with sbatch}"
config=${1:-${CONFIG:-configs/cluster.yaml}}
join_timeout=${TOOLACE_JOIN_TIMEOUT:-600}
join_poll=${TOOLACE_JOIN_POLL:-2}
head_port=${TOOLACE_HEAD_PORT:-6379}
cpus=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}

say() { printf '%s %s\n' "$(date +%FT%T)" "$*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

[[ -f $config ]] || fail "no config at $config; give its path as the first argument or in CONFIG"
venv=${TOOLACE_VENV:-.venv}
if [[ -f $venv/bin/activate ]]; then
    # shellcheck disable=SC1091
    source "$venv/bin/activate"
fi

job_folder=$PWD/runs/.slurm-$SLURM_JOB_ID
head_step='' workers_step='' driver=''

running() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null; }

stop() {
    local pid=$1 patience=$2
    running "$pid" || return 0
    kill -TERM "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + patience))
    while running "$pid" && ((SECONDS < deadline)); do sleep 0.2; done
    kill -KILL "$pid" 2>/dev/null || true
}

# The driver goes first, so that it sees its cluster until it has ended; the head goes last. Ray drains a node for up
# to 30 s, and the three limits together fit into the 120 s of --signal above.
clean_up() {
    local status=$?
    trap - EXIT
    trap '' TERM INT
    stop "$driver" 30
    stop "$workers_step" 40
    stop "$head_step" 40
    rm -rf "$job_folder"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# The token travels as a path: an environment is shown by scontrol, by /proc and in crash reports.
mkdir -p runs
(
    umask 077
    mkdir -p "$job_folder"
    rm -f "$job_folder/token"
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$job_folder/token"
)
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$job_folder/token
unset RAY_AUTH_TOKEN
export RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
count=${#nodes[@]}
((count > 0)) || fail "scontrol names no nodes for $SLURM_JOB_NODELIST"

# The batch shell runs on the job's first node, so this is the head's own address.
head_ip=${TOOLACE_HEAD_IP:-$(hostname -I | tr ' ' '\n' | awk '/^[0-9]+\.[0-9]+\./ && !found { print; found = 1 }')}
[[ -n $head_ip ]] || fail "this node has no IPv4 address; set TOOLACE_HEAD_IP"
address=$head_ip:$head_port

# srun does not take --cpus-per-task over from sbatch since Slurm 22.05.
step=(srun --ntasks-per-node=1 --cpus-per-task="$cpus" --no-kill --kill-on-bad-exit=0 --wait=0)

# A temporary folder of the job's own: /tmp/ray may belong to another user of the node.
say "head on ${nodes[0]} at $address"
"${step[@]}" --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" \
    ray start --head --block --node-ip-address="$head_ip" --port="$head_port" --num-cpus="$cpus" \
    --temp-dir="/tmp/ray-$SLURM_JOB_ID" &
head_step=$!

# Ray itself waits for minutes on an address that does not answer, so every look has a limit of its own.
alive_nodes() {
    RAY_ADDRESS=$address timeout 30 python -c '
import ray

ray.init(log_to_driver=False, logging_level="ERROR")
print(sum(node["Alive"] for node in ray.nodes()))
' 2>/dev/null || echo 0
}

deadline=$((SECONDS + join_timeout))
wait_for() {
    local wanted=$1 joined
    while true; do
        running "$head_step" || fail "the head has ended; see the lines above"
        [[ -z $workers_step ]] || running "$workers_step" || fail "the workers have ended; see the lines above"
        joined=$(alive_nodes)
        ((joined < wanted)) || return 0
        ((SECONDS < deadline)) || fail "$joined of $count nodes joined within $join_timeout s"
        sleep "$join_poll"
    done
}

wait_for 1
if ((count > 1)); then
    workers=$(IFS=,; printf '%s' "${nodes[*]:1}")
    say "workers on $workers"
    "${step[@]}" --nodes=$((count - 1)) --ntasks=$((count - 1)) --nodelist="$workers" \
        ray start --block --address="$address" --num-cpus="$cpus" --temp-dir="/tmp/ray-$SLURM_JOB_ID" &
    workers_step=$!
    wait_for "$count"
fi
say "$count nodes joined; running $config"

# In the background, because bash runs a trap only when the command in front has ended.
RAY_ADDRESS=$address python -m jobs.generate --config "$config" &
driver=$!
wait "$driver"
