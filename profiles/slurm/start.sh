#!/bin/bash
# Runs a study from a job of its own, so that you may log out:
#     sbatch --partition=YOUR_CPU_PARTITION profiles/slurm/start.sh results/cub200/map_table.md
# What follows stands for snakemake's own arguments. docs/slurm.md says how to end it.
#SBATCH --job-name=vitproto
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=3-00:00:00
#SBATCH --output=vitproto-%j.log
set -euo pipefail
if [ -f .venv/bin/activate ]; then
    . .venv/bin/activate
fi
exec snakemake --profile profiles/slurm "$@"
