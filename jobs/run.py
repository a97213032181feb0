"""The whole road as one job: evolve, generate, export.

python -m jobs.run --config configs/cluster.yaml
"""

from jobs.cli import job

if __name__ == "__main__":
    job("run")
