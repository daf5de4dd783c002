# ruff: noqa: F821
# profile: full
"""Label smoothing or temperature?"""

# cells: start imports-arrays imports goal-figure measure-data


def square(labels, side):
    return cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)


# cells: seeds-data seeds-train
TEMPERATURES = np.arange(1, 31) / 10


def calibration_error(logits, labels, bins=10):
    confidence, predicted = logits.softmax(1).max(1)
    right = (predicted == labels).double().numpy().ravel()
    confidence = confidence.double().numpy().ravel()
    place = np.digitize(confidence, np.linspace(0.5, 1, bins + 1)[1:-1])
    gaps = np.bincount(place, right, bins) - np.bincount(place, confidence, bins)
    return float(np.abs(gaps).sum() / len(right))


def measure(seed, smoothing):
    logits, labels = train_once(seed, smoothing=smoothing), val_masks
    even = [torch.nn.functional.cross_entropy(logits[::2] / t, labels[::2]).item() for t in TEMPERATURES]
    temperature = TEMPERATURES[int(np.argmin(even))]
    print(f"seed {seed}, smoothing {smoothing}: T = {temperature:.1f}")
    logits, labels = logits[1::2], labels[1::2]
    return {
        "mIoU": metrics.mean_iou(labels.numpy(), logits.argmax(1).numpy(), 2),
        "ECE": calibration_error(logits, labels),
        "ECE with temperature": calibration_error(logits / temperature, labels),
    }


table(
    {
        "targets 1 and 0": [measure(seed, 0.0) for seed in SEEDS],
        "label smoothing 0.1": [measure(seed, 0.1) for seed in SEEDS],
    }
)
