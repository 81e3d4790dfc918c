"""Active learning: rounds of exploration, labels and training, all of them known beforehand.

The models of a round explore, its labels join its frames, and the next round is trained on them. The
first round is trained on the dataset; the last one is the training of the campaign.
"""


use rule train as active_learning_train with:
    input:
        unpack(lambda wildcards: training_inputs(int(wildcards.round))),
        config=ancient(CAMPAIGN_FILE),
    output:
        models=[
            round_file("{round}", name, file)
            for name in campaign.training.names()
            for file in ("potential.json", "weights.safetensors")
        ],
        evaluation=round_file("{round}", "tables", "evaluation.parquet"),
    log:
        results("logs", "active_learning_train", "{round}.log"),
    benchmark:
        results("benchmarks", "active_learning_train", "{round}.tsv")
    params:
        digest=lambda wildcards: training_digest(int(wildcards.round)),
        options=lambda wildcards, input: training_options(int(wildcards.round), input),
        model=lambda wildcards, output: folder(output.models),
        tables=lambda wildcards, output: folder([output.evaluation]),
        # All rounds share it: with more of them, the one that was the last is not trained again.
        checkpoint=results("checkpoints", "training"),


rule explore:
    input:
        config=ancient(CAMPAIGN_FILE),
        frames=lambda wildcards: frames_of_round(int(wildcards.round)),
        models=lambda wildcards: models_of_round(int(wildcards.round)),
        structures=campaign.active_learning.files(),
    output:
        selected=round_file("{round}", "selected.parquet"),
        candidates=round_file("{round}", "candidates.parquet"),
        table=round_file("{round}", "exploration.parquet"),
    log:
        results("logs", "explore", "{round}.log"),
    benchmark:
        results("benchmarks", "explore", "{round}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(8000),
        runtime=attempts(720),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("active_learning"),
        model=lambda wildcards, input: folder(input.models),
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        checkpoint=lambda wildcards: results("checkpoints", "explore", wildcards.round),
    shell:
        "softatoms explore --config {input.config:q} --round {wildcards.round}"
        " --frames {input.frames:q} --model {params.model:q} --checkpoint {params.checkpoint:q}"
        " --out {output.selected:q} --candidates {output.candidates:q} --table {output.table:q}"
        " > {log:q} 2>&1"


rule active_learning_labels:
    input:
        config=ancient(CAMPAIGN_FILE),
        frames=round_file("{round}", "selected.parquet"),
    output:
        labels=round_file("{round}", "labels", "{shard}.parquet"),
    log:
        results("logs", "active_learning_labels", "{round}-{shard}.log"),
    benchmark:
        results("benchmarks", "active_learning_labels", "{round}-{shard}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(4000),
        runtime=attempts(240),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("active_learning"),
        # That of the dataset: what has a label already is not labelled again.
        checkpoint=results("checkpoints", "dataset"),
    shell:
        "softatoms dataset --step label --config {input.config:q} --round {wildcards.round}"
        " --frames {input.frames:q} --shard {wildcards.shard} --checkpoint {params.checkpoint:q}"
        " --out {output.labels:q} > {log:q} 2>&1"


rule active_learning_frames:
    input:
        config=ancient(CAMPAIGN_FILE),
        frames=lambda wildcards: frames_of_round(int(wildcards.round) - 1),
        selected=lambda wildcards: round_file(int(wildcards.round) - 1, "selected.parquet"),
        labels=lambda wildcards: [
            round_file(int(wildcards.round) - 1, "labels", f"{shard}.parquet")
            for shard in range(campaign.dataset.labels.jobs)
        ],
    output:
        frames=round_file("{round}", "frames.parquet"),
        table=round_file("{round}", "dataset.parquet"),
    log:
        results("logs", "active_learning_frames", "{round}.log"),
    benchmark:
        results("benchmarks", "active_learning_frames", "{round}.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(4000),
        runtime=attempts(60),
    params:
        digest=campaign.section_digest("active_learning"),
        before=lambda wildcards: int(wildcards.round) - 1,
    shell:
        "softatoms active-learning --step merge --config {input.config:q} --round {params.before:q}"
        " --frames {input.frames:q} --selected {input.selected:q} --labels {input.labels:q}"
        " --out {output.frames:q} --table {output.table:q} > {log:q} 2>&1"


rule active_learning:
    input:
        config=ancient(CAMPAIGN_FILE),
        frames=[frames_of_round(round) for round in range(last_round() + 1)],
        models=[file for round in range(last_round() + 1) for file in models_of_round(round)],
        evaluations=[evaluation_of_round(round) for round in range(last_round() + 1)],
        candidates=[round_file(round, "candidates.parquet") for round in range(last_round())],
        explorations=[round_file(round, "exploration.parquet") for round in range(last_round())],
    output:
        table=results("tables", "active_learning.parquet"),
        exploration=results("tables", "exploration.parquet"),
    log:
        results("logs", "active_learning.log"),
    benchmark:
        results("benchmarks", "active_learning.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(4000),
        runtime=attempts(120),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("active_learning"),
        models=[folder(models_of_round(round)) for round in range(last_round() + 1)],
    shell:
        "softatoms active-learning --step table --config {input.config:q} --frames {input.frames:q}"
        " --models {params.models:q} --evaluations {input.evaluations:q}"
        " --candidates {input.candidates:q} --explorations {input.explorations:q}"
        " --out {output.table:q} --exploration-out {output.exploration:q} > {log:q} 2>&1"
