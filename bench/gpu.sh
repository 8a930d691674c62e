#!/usr/bin/env bash
# What to run on a machine with one NVIDIA card, and for how long. Nothing here has run on a card yet: no number of it is
# quoted anywhere, and the targets of the project for GPUs are open until this script's log shows them.
#
#   1. here:   make cuda                          (no card, no CUDA toolkit, no LLVM needed)
#   2. there:  tar -xJf lacuna-cuda.tar.xz && ./gpu.sh 2>&1 | tee gpu.log
#
# It needs a CUDA 13 driver with NVRTC and, for the comparison, a Python with PyTorch (PYTHON=...). Every command has a time
# limit; all together stay below an hour. A command that fails is reported and the next one runs.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# burn's CUDA backend binds to the driver through cudarc, which has to be told the toolkit's version where it finds none.
export CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-13000}
export LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LACUNA_DEVICE=cuda LACUNA_OUT=${LACUNA_OUT:-$PWD/data} LACUNA_FIGURES=${LACUNA_FIGURES:-$PWD/figures}
PYTHON=${PYTHON:-python3}
failed=()

# step LIMIT COMMAND...: runs the command for at most LIMIT seconds.
step() {
    local limit=$1
    shift
    echo; echo "== $* (at most $limit s)"
    local begin=$SECONDS
    timeout "$limit" "$@" || failed+=("$*: exit status $?")
    echo "== $((SECONDS - begin)) s"
}

step 20 nvidia-smi
step 20 ./lacuna --version

# Same numbers as on the CPU? The first call compiles the kernels. In bf16: what the rounding of products costs.
step 260 ./lacuna selftest --device cuda
step 140 ./lacuna selftest --device cuda --precision bf16

# Training throughput at the paper's sizes, in both precisions. Steps do not cost more with more data, so a few trajectories do;
# the data are simulated on the CPU. Each training is stopped after its slice and goes on from there if this script is run again.
small=(--preset paper --set data.train=4 --set data.validation=1 --set data.test=1)
step 240 ./lacuna data "${small[@]}"
for model in p-cdm joint; do
    for precision in f32 bf16; do
        step 150 ./lacuna train "${small[@]}" --model "$model" --precision "$precision" --max-minutes 2
    done
done
step 180 "$PYTHON" train_torch.py --device cuda

# The paper's ensemble: 100 members, 20,000 steps, a draw every 5, as one batch on the card in both precisions; and its Table 5
# with 1,000 in batches of 250: what is finished is kept if the time is over, and found if this script is run again. Weights are
# trained for a few steps only: what a step costs does not depend on them.
short=("${small[@]}" --set models.p-cdm.train.steps=20 --set models.joint.train.steps=20)
for model in p-cdm joint; do
    step 120 ./lacuna train "${short[@]}" --model "$model"
    for precision in f32 bf16; do
        step 240 ./lacuna rollout "${short[@]}" --closure "$model" --precision "$precision"
    done
    step 350 ./lacuna rollout "${short[@]}" --closure "$model" --precision bf16 --large --batch 250
done

echo
if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
echo "gpu.sh: every command ended well"
