# ruff: noqa: F821
# profile: quick
"""Does the dilation help?"""

# cells: start

import tempfile

from seglib import config, training

small = dict(widths=[12, 24, 48, 96], modules=[1, 1, 1], stem_width=24, stage1_width=16, stage1_blocks=1, head_width=64)
rows = {}
with tempfile.TemporaryDirectory() as folder:
    for dilations in ([1, 1], [1, 2], [1, 4]):
        rows[f"dilations {dilations}"] = []
        for seed in SEEDS:
            settings = config.Config(
                output_dir=f"{folder}/{dilations[1]}-{seed}",
                epochs=8,
                batch_size=8,
                eval_interval=8,
                ema=0,
                seed=seed,
                selection="last",
                data=config.DataConfig("streets", options={"length": 160, "size": [96, 128]}),
                augment=config.AugmentConfig(crop_sizes=[96], rotate=0, blur=0, noise=0),
                model=config.ModelConfig("mini_hrnet", {**small, "dilations": dilations}),
                loss=config.LossConfig({"ce": 1.0}, class_weights="sqrt_freq"),
                optimizer=config.OptimizerConfig(lr=3e-3),
                inference=config.InferenceConfig(longest_side=128),
            )
            last = training.fit(settings)[-1]["val"]
            rows[f"dilations {dilations}"].append({"mIoU": last["miou"], "Boundary IoU": last["boundary_iou"]})
table(rows)
