# ruff: noqa: F401, F821
# profile: quick
"""Does U-Net need its skip connections?"""

from seglib.data.transforms import normalize, resize_longest_side

# cells: start roadmap build-imports goal-figure build-double-conv build-down build-up build-unet position-ceiling
# cells: losses-code skips-cut overfit-data train-validate train-loop train-run
everything = [val[index] for index in range(len(val))]
variants = {
    "with skips": lambda: UNet(num_classes=2, width=width),
    "trained without skips": lambda: cut_skips(UNet(num_classes=2, width=width), 4),
    "bilinear upsampling": lambda: UNet(num_classes=2, width=width, bilinear=True),
}
rows = {title: [] for title in variants}
for title, build in variants.items():
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = build()
        train_and_validate(network, loader, val_items[:1], epochs, longest_side=3 * size // 2)
        scores = validate(network, everything, 3 * size // 2)
        rows[title].append({"mIoU": scores["miou"], "Boundary IoU": scores["boundary_iou"]})
table(rows)
