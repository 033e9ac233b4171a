#!/bin/bash
# Runs a study inside a SLURM job, so that you can log out:
#     sbatch --partition=YOUR_CPU_PARTITION profiles/slurm/start.sh results/cub200/map_table.md
# All arguments are passed to snakemake. docs/slurm.md explains how to stop it.
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
