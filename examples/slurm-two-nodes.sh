#!/bin/bash
# One run over two machines with four GPUs each, under Slurm:  sbatch examples/slurm-two-nodes.sh my.yaml
# The configuration's `output`, the data and the environment lie on a file system that both machines see.
#SBATCH --job-name=tunesmith
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
# Two minutes before the end all ranks stop at the same step and save; the same job submitted again goes on.

set -euo pipefail
config=${1:?give a configuration file}

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))

srun bash -c 'torchrun --nnodes "$SLURM_NNODES" --node_rank "$SLURM_NODEID" --nproc_per_node 4 \
    --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT" -m tunesmith train "$0"' "$config"
