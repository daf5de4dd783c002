# ruff: noqa: F821
# profile: quick
"""Does deep supervision help the fused output?"""

from dataclasses import replace

synthetic = {"length": 160, "size": [128, 160]}  # if the horses are missing
# cells: start imports-torch imports result-data result train-config
rows = {}
for title, output_weights in {"all seven losses": None, "the fused loss only": [1, 0, 0, 0, 0, 0, 0]}.items():
    rows[title] = []
    for seed in SEEDS:
        loss = config.LossConfig() if output_weights is None else config.LossConfig(output_weights=output_weights)
        place = f"{folder.name}/{title}-{seed}"
        last = training.fit(replace(settings, seed=seed, loss=loss, output_dir=place, selection="last"))[-1]["val"]
        rows[title].append({"mIoU": last["miou"], "Boundary IoU": last["boundary_iou"]})
table(rows)
