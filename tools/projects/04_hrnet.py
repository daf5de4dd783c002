# ruff: noqa: F821
# profile: quick
"""What is the exchange worth?"""

# cells: start imports-torch imports result build-basic build-bottleneck build-transition build-path build-module
# cells: build-body build-hrnet build-configs
from seglib.config import AugmentConfig
from seglib.data.transforms import TrainingTransform, normalize
from seglib.evaluation import evaluate

EPOCHS, SIZE, BATCH, RATE = 6, 64, 8, 3e-3
train_set = lesson.dataset("horses", "train", list_name="seed27", synthetic={"length": 100, "size": (128, 160)})
items = [train_set[index] for index in range(len(train_set))]
transform = TrainingTransform(AugmentConfig(), SIZE)


class WithoutExchange(HighResolutionModule):
    def __init__(self, widths, blocks):
        super().__init__(widths, blocks)
        self.fuse_layers = nn.ModuleList()

    def forward(self, branches):
        return [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]


def train(seed):
    torch.manual_seed(seed)
    network = HRNet(num_classes=2, **HRNET_CONFIGS["hrnet_w18_small_v1"])
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    steps = EPOCHS * (len(items) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        chosen = [(items[i], int(torch.randint(2**31, ()))) for i in torch.randint(len(items), (BATCH,))]
        crops = [transform(item["image"], item["mask"], number) for item, number in chosen]
        images = normalize(torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image, _ in crops]))
        masks = torch.stack([torch.from_numpy(mask).long() for _, mask in crops])
        loss = F.cross_entropy(network(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    scores = evaluate(Predictor(network.eval(), 112), val)
    return {"mIoU": scores["miou"], "Boundary IoU": scores["boundary_iou"]}


rows = {"with exchange": [train(seed) for seed in SEEDS]}
HighResolutionModule = WithoutExchange
rows["without exchange"] = [train(seed) for seed in SEEDS]
table(rows)
