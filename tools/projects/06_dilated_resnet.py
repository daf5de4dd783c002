# ruff: noqa: F821
# profile: quick
"""What is the dilation worth?"""

from seglib import data
from seglib.evaluation import evaluate

train_set = data.load("streets", "train", length=1, size=(96, 128))  # for the cell that uses them
# cells: start imports build-imports build-bottleneck build-layer build-backbone build-ppm build-aspp build-network
# cells: overfit-data train-function
streets = {split: data.load("streets", split, length=n, size=(96, 128)) for split, n in (("train", 160), ("val", 40))}
images, masks = as_tensors(streets["train"])


def measure(seed, dilated):
    torch.manual_seed(seed)
    model = DilatedResNet(11, width=16)
    if not dilated:
        model.backbone.layer3 = make_layer(128, 64, 6, stride=2)
        model.backbone.layer4 = make_layer(256, 128, 3, stride=2)
    train(model, images, masks, steps=80, seed=seed)
    scores = evaluate(Predictor(model, 128), streets["val"])
    return {"mIoU": scores["miou"], "Boundary IoU": scores["boundary_iou"]}


table({name: [measure(seed, name == "dilations") for seed in SEEDS] for name in ("strides", "dilations")})
