"""Knowledge distillation, slower encoders, frozen encoders, and which epoch is kept."""

import math

import pytest
import torch

from seglib import losses, training, weights
from seglib.config import Config
from seglib.losses.distillation import distillation, mean_prediction
from seglib.training.optimizer import make_optimizer


def tiny(folder, **options) -> Config:
    """A run of seconds on synthetic animals."""
    config = Config(output_dir=str(folder), epochs=2, batch_size=4, ema=0.0, amp="off", device="cpu", num_workers=0)
    config.data.name, config.data.options = "creatures", {"length": 8, "size": [48, 64]}
    config.augment.crop_sizes, config.inference.longest_side = [32], 48
    config.model.options = {"width": 4}
    for name, value in options.items():
        group, _, option = name.rpartition("__")
        setattr(getattr(config, group) if group else config, option, value)
    return config


def expected_loss(logits, teachers, labels, temperature):
    """The definition, pixel by pixel in Python numbers."""

    def soft(values):
        values = [0.0, *values] if len(values) == 1 else values
        powers = [math.exp(value / temperature) for value in values]
        return [power / sum(powers) for power in powers]

    terms = []
    images, _, rows, columns = logits.shape
    for n in range(images):
        for y in range(rows):
            for x in range(columns):
                if labels[n, y, x] == 255:
                    continue
                student = soft(logits[n, :, y, x].tolist())
                each = [soft(teacher[n, :, y, x].tolist()) for teacher in teachers]
                targets = [sum(values) / len(values) for values in zip(*each, strict=True)]
                terms.append(sum(t * math.log(t / s) for t, s in zip(targets, student, strict=True)))
    return temperature**2 * sum(terms) / len(terms)


@pytest.mark.parametrize("student_channels, teacher_channels", [(3, (3,)), (3, (3, 3)), (1, (2, 1)), (2, (1,))])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0])
def test_distillation_is_what_its_definition_says(student_channels, teacher_channels, temperature):
    logits = 3 * torch.randn(2, student_channels, 3, 4)
    teachers = [3 * torch.randn(2, channels, 3, 4) for channels in teacher_channels]
    labels = torch.randint(0, 2, (2, 3, 4))
    labels[0, 1], labels[1, :, 2] = 255, 255
    value = distillation(logits, mean_prediction(teachers, temperature), labels, temperature)
    assert value.item() == pytest.approx(expected_loss(logits, teachers, labels, temperature), rel=1e-4)


def test_a_student_that_agrees_has_no_loss_and_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    value = distillation(logits, mean_prediction([logits.detach()], 2.0), torch.zeros(1, 4, 4))
    value.backward()
    assert abs(value.item()) < 1e-6 and logits.grad.abs().max() < 1e-6


def test_ignored_pixels_contribute_nothing_and_alone_give_zero():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    targets, labels = mean_prediction([torch.randn(1, 2, 4, 4)], 2.0), torch.full((1, 4, 4), 255)
    assert distillation(logits, targets, labels).item() == 0
    labels[0, 0, 0] = 1
    distillation(logits, targets, labels).backward()
    assert logits.grad[0, :, 0, 0].abs().min() > 0
    logits.grad[0, :, 0, 0] = 0
    assert logits.grad.eq(0).all()


def test_the_gradient_keeps_its_size_as_the_temperature_rises():
    """At high temperature it tends to the difference of the centred logits, divided by the number of classes."""
    student, teacher = torch.randn(1, 3, 1, 1, dtype=torch.double), torch.randn(1, 3, 1, 1, dtype=torch.double)
    student.requires_grad_()
    distillation(student, mean_prediction([teacher], 1000.0), torch.zeros(1, 1, 1), 1000.0).backward()
    difference = (student - student.mean() - teacher + teacher.mean()).detach() / 3
    torch.testing.assert_close(student.grad, difference, rtol=0.02, atol=2e-3)


def test_other_numbers_of_classes_are_refused():
    with pytest.raises(losses.LossError, match="student predicts 3 classes and the teachers 2"):
        distillation(torch.zeros(1, 3, 2, 2), mean_prediction([torch.zeros(1, 1, 2, 2)], 1.0), torch.zeros(1, 2, 2))
    with pytest.raises(losses.LossError, match="teachers predict different numbers of classes"):
        mean_prediction([torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, 2)], 1.0)


def test_student_approaches_its_teacher(tmp_path):
    training.fit(tiny(tmp_path / "teacher", epochs=3, model__options={"width": 8}), progress=False)
    file = str(tmp_path / "teacher" / "best.safetensors")
    config = tiny(tmp_path / "student", epochs=6, optimizer__lr=1e-2, distillation__teachers=[file])
    config.distillation.weight = 20.0
    trainer = training.Trainer(config)
    teacher, _ = weights.load(file)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    masks = torch.randint(0, 2, (4, 32, 32), dtype=torch.uint8)
    trainer.model.train()
    losses_on_teacher = [trainer.train_step(images, masks).item() for _ in range(12)]
    assert losses_on_teacher[-1] < 0.7 * losses_on_teacher[0]
    for name, value in trainer.teachers.networks[0].state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("name", ["u2netp", "dilated_resnet50"])
def test_every_output_of_a_student_learns_from_the_teacher(tmp_path, name):
    training.fit(tiny(tmp_path / "teacher", epochs=1), progress=False)
    file = str(tmp_path / "teacher" / "best.safetensors")
    options = {"head_channels": 8} if name.startswith("dilated") else {}
    config = tiny(tmp_path / "run", distillation__teachers=[file, file], model__name=name, model__options=options)
    trainer = training.Trainer(config)
    inputs = torch.randn(4, 3, 64, 64)
    outputs = trainer.model.train()(inputs)
    targets, labels = trainer.teachers.predict(inputs), torch.zeros(4, 64, 64, dtype=torch.long)
    expected = sum(
        factor * distillation(logits, targets, labels, 2.0)
        for factor, logits in zip(type(trainer.model).aux_loss_weights, outputs, strict=True)
    )
    loss = trainer.teachers.loss(outputs, targets, labels, trainer.loss)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_teachers_of_other_classes_are_refused(tmp_path):
    config = tiny(tmp_path / "teacher", epochs=1)
    config.data.name, config.metric = "streets", "miou"
    training.fit(config, progress=False)
    file = str(tmp_path / "teacher" / "best.safetensors")
    with pytest.raises(losses.LossError, match="predicts 11 classes, but the data set has 2"):
        training.Trainer(tiny(tmp_path / "student", distillation__teachers=[file]))


def test_encoder_lr_factor_applies_to_the_encoder_only(tmp_path):
    config = tiny(tmp_path / "run", optimizer__encoder_lr_factor=0.25, optimizer__name="sgd")
    trainer = training.Trainer(config)
    factor_of = {p: group["lr_factor"] for group in trainer.optimizer.param_groups for p in group["params"]}
    decay_of = {p: group["weight_decay"] for group in trainer.optimizer.param_groups for p in group["params"]}
    for name, parameter in trainer.model.named_parameters():
        assert factor_of[parameter] == (0.25 if name.startswith(("stem.", "down")) else 1.0)
        assert decay_of[parameter] == (0.01 if parameter.ndim > 1 else 0.0)
    trainer.model.train()
    trainer.train_step(torch.zeros(4, 32, 32, 3, dtype=torch.uint8), torch.zeros(4, 32, 32, dtype=torch.uint8))
    rates = {group["lr_factor"]: group["lr"] for group in trainer.optimizer.param_groups}
    assert rates[0.25] == pytest.approx(rates[1.0] / 4)


def test_encoder_options_are_refused_without_an_encoder(tmp_path):
    for option, value in (("optimizer__encoder_lr_factor", 0.5), ("model__freeze_encoder_epochs", 1)):
        config = tiny(tmp_path / "run", model__name="mini_hrnet", model__options={}, **{option: value})
        with pytest.raises(training.TrainingError, match="mini_hrnet has no separate encoder; leave it at"):
            training.Trainer(config)


def test_without_encoder_factor_there_are_two_groups():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    groups = make_optimizer(model, Config()).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.01, 1), (0.0, 3)]


def test_frozen_encoder_learns_after_its_epochs(tmp_path):
    config = tiny(tmp_path / "run", epochs=2, model__freeze_encoder_epochs=1)
    trainer = training.Trainer(config)
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    masks = torch.randint(0, 2, (4, 32, 32), dtype=torch.uint8)
    states = [{name: value.clone() for name, value in trainer.model.state_dict().items()}]
    for step in range(trainer.sampler.total_steps):
        trainer.set_train_mode(step // trainer.sampler.steps_per_epoch)
        trainer.train_step(images, masks)
        states.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
    first, second = trainer.sampler.steps_per_epoch, trainer.sampler.total_steps
    encoder = [name for name in states[0] if name.startswith(("stem.", "down"))]
    assert all(torch.equal(states[0][name], states[first][name]) for name in encoder)  # statistics too
    assert not any(torch.equal(states[first][name], states[second][name]) for name in encoder)
    assert not torch.equal(states[0]["classifier.weight"], states[first]["classifier.weight"])


def test_selection_of_the_last_epoch(tmp_path, monkeypatch):
    scores = iter([0.9, 0.5, 0.7])
    monkeypatch.setattr(training.Trainer, "validate", lambda trainer, loader: {"miou": next(scores)})
    training.fit(tiny(tmp_path / "last", epochs=3, selection="last"), progress=False)
    _, notes = weights.read_tensors(tmp_path / "last" / "best.safetensors")
    assert notes["epoch"] == 2 and notes["val"] == {"miou": 0.7}
    scores = iter([0.9, 0.5, 0.7])
    training.fit(tiny(tmp_path / "best", epochs=3), progress=False)
    assert weights.read_tensors(tmp_path / "best" / "best.safetensors")[1]["epoch"] == 0
