# Run by Snakemake in the environment it has just made (`--sdm conda`), from the top of the clone.
set -eu
python -m pip install --no-deps --editable .
