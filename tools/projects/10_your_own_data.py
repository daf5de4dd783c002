# ruff: noqa: F821
# profile: full
"""What raises the score of twenty annotated images?"""

from dataclasses import replace

# cells: start imports goal-figure annotate-write import-run look check-constant check-overfit train-config
# cells: evaluate-function
side = settings.inference.longest_side
large = replace(settings, augment=replace(settings.augment, crop_sizes=[224]))
frozen = replace(settings, model=replace(settings.model, freeze_encoder_epochs=epochs))
variants = {
    "settings of section 4": (settings, side, False),
    "the same, with horizontal flip": (settings, side, True),
    "twice as many epochs": (replace(settings, epochs=2 * epochs, eval_interval=epochs), side, False),
    "crops of 224 pixels, images of 320": (large, 320, False),
    "encoder frozen in all epochs": (frozen, side, False),
}
rows = {}
for number, (title, (chosen, longest_side, flip)) in enumerate(variants.items()):
    rows[title] = []
    for seed in SEEDS:
        place = work / f"run-{number}-{seed}"
        training.fit(replace(chosen, seed=seed, output_dir=str(place)), progress=False)
        model, _ = weights.load(str(place / "best.safetensors"))
        scores, _ = evaluate(Predictor(model, longest_side, flip=flip), new_images, len(new_images))
        rows[title].append({"mIoU": scores["miou"], "Boundary IoU": scores["boundary_iou"]})
table(rows)
