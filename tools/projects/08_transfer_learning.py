# ruff: noqa: F821
# profile: quick
"""How many images is ImageNet worth?"""

from dataclasses import replace

# cells: start imports goal-figure compare-data compare-settings
STEPS = 96
BATCH = 4
starts = {"ImageNet": {"name": "efficientnet_unet", "init_from": "imagenet"}, "scratch": {"name": "efficientnet_unet"}}
everything = list(range(len(val_set)))
rows = {}
for start, amount in (("ImageNet", 8), ("ImageNet", 16), ("ImageNet", 32), *(("scratch", n) for n in (32, 64, 128))):
    parts = {"train": (train_set, annotations.spaced(amount, len(train_set))), "val": (val_set, everything)}
    place = work / f"{start}-{amount}"
    annotations.write_pairs(place, parts, longest_side=224)
    epochs = STEPS * BATCH // amount
    rates = {"lr": 2e-3} | ({"encoder_lr_factor": 0.3} if start == "ImageNet" else {})
    rows[f"{start}, {amount} images"] = []
    for seed in SEEDS:
        chosen = settings(f"{place.name}-run-{seed}", starts[start], rates, epochs=epochs, eval_interval=epochs)
        chosen = replace(chosen, seed=seed, data=config.DataConfig(name=str(place)))
        last = training.fit(chosen, progress=False)[-1]["val"]
        rows[f"{start}, {amount} images"].append({"mIoU": last["miou"], "Boundary IoU": last["boundary_iou"]})
table(rows)
