"""The unconditional workload: what it trains on, what it leaves out, what it refuses, what it writes."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline
from PIL import Image

from trainable.testing import NUM_RETAIN, TinyWorkload
from trainable.workloads.rows import nearest_by_distance
from tuning.measuring import prepare

CPU = torch.device("cpu")


def workload(plan, **changes):
    return TinyWorkload(dataclasses.replace(plan.source.settings, **changes), CPU)


def test_a_batch_is_a_function_of_its_arguments(plan):
    first, again = (workload(plan).batch(plan.prepared[0], 7, 3, 0, 5) for _ in range(2))
    for name in ("retain", "forget", "noise", "timesteps"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    for other in (workload(plan).batch(plan.prepared[0], *key, 5) for key in ((8, 3, 0), (7, 4, 0), (7, 3, 1))):
        assert not torch.equal(other.noise, first.noise)
        assert not torch.equal(other.timesteps, first.timesteps)
    assert first.retain.shape == first.forget.shape == first.noise.shape == (5, 1, 8, 8)
    assert first.retain.min() >= -1
    assert first.retain.max() <= 1


def test_timesteps_cover_the_whole_schedule(plan):
    steps = workload(plan).batch(plan.prepared[0], 0, 0, 0, 4000).timesteps
    assert steps.min() < 10
    assert steps.max() > 989
    assert abs(float(steps.float().mean()) - 499.5) < 5 * 288.7 / 4000**0.5


def test_copies_of_the_forget_image_are_no_retain_images(plan, tmp_path):
    with np.load(plan.source.settings.retain) as archive:
        images = archive["images"]
    forget = np.asarray(Image.open(plan.source.settings.forget[0]))
    np.savez(tmp_path / "with_copies.npz", images=np.concatenate([images, forget[None], forget[None]]))
    opened = workload(plan, retain=str(tmp_path / "with_copies.npz"))
    retain = opened.retain[opened.prepare().kept]
    assert len(retain) == NUM_RETAIN
    assert not any(np.array_equal(image[0].numpy(), forget) for image in retain)
    prepared = workload(plan, retain=str(tmp_path / "with_copies.npz")).prepare()
    assert prepared.notes == (f"2 copies of forget images were left out of the retain images; {NUM_RETAIN} are kept",)
    assert plan.prepared[0].notes == ()
    np.savez(tmp_path / "only_copies.npz", images=np.stack([forget, forget]))
    with pytest.raises(ValueError, match="retain images besides the forget images"):
        workload(plan, retain=str(tmp_path / "only_copies.npz")).prepare()


def test_a_folder_of_pictures_is_read_in_the_order_of_names(plan, tmp_path):
    for name, value in (("b.png", 200), ("a.png", 100), ("note.txt", 0)):
        if name.endswith("png"):
            Image.new("RGB", (8, 8), (value, value, value)).save(tmp_path / name)
        else:
            (tmp_path / name).write_text("no picture")
    retain = workload(plan, retain=str(tmp_path)).retain
    assert len(retain) == 2
    assert retain[torch.tensor([1, 0, 1])][:, 0, 0, 0].tolist() == [200, 100, 200]


def test_a_picture_of_another_size_is_refused(plan, tmp_path):
    Image.new("L", (9, 8)).save(tmp_path / "wide.png")
    with pytest.raises(ValueError, match=r"8x8 \(height x width\).*8x9"):
        _ = workload(plan, forget=(str(tmp_path / "wide.png"),)).forget


def test_a_changed_model_is_written_as_a_pipeline_that_gives_the_same(plan, tmp_path):
    subject = workload(plan)
    denoiser = subject.load(plan.source.settings.model)
    with torch.no_grad():
        next(iter(denoiser.network.parameters())).add_(0.1)
    subject.save_pipeline(denoiser.network, tmp_path / "pipeline")
    files = [file.read_text() for file in (tmp_path / "pipeline").rglob("*.json")]
    assert files
    assert not any("_name_or_path" in text or str(tmp_path) in text for text in files)
    read = DDPMPipeline.from_pretrained(tmp_path / "pipeline").unet
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([10, 700])
    with torch.no_grad():
        assert torch.equal(read(x, t).sample, denoiser.network.eval()(x, t).sample)
    untouched = subject.load(plan.source.settings.model).network
    assert not torch.equal(next(iter(untouched.parameters())), next(iter(denoiser.network.parameters())))


def test_a_directory_that_is_no_pipeline_is_refused(plan, tmp_path):
    with pytest.raises(ValueError, match="model must be a diffusers pipeline"):
        workload(plan).load(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"_class_name": "StableDiffusionPipeline"}, "which is a StableDiffusionPipeline"),
        ({"_class_name": ["my_pipeline", "Mine"]}, "code of its own"),
        ({"vqvae": ["diffusers", "VQModel"]}, "has a vqvae besides"),
        ({"unet": ["diffusers", "UNet2DConditionModel"]}, "whose unet is a UNet2DConditionModel"),
    ],
)
def test_a_pipeline_of_another_kind_is_refused_where_it_is_loaded(plan, tmp_path, changes, fault):
    """Of a hub id that is not on the machine nothing is known before."""
    shutil.copytree(plan.source.settings.model, tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **changes}))
    opened = workload(plan, model=str(tmp_path / "model"))
    for load in (lambda: opened.load(str(tmp_path / "model")), opened.prepare):
        with pytest.raises(ValueError, match=f"of the class DDPMPipeline.*{fault}"):
            load()

    class Own(TinyWorkload):
        kind = None

    if "vqvae" in changes:
        assert Own(opened.settings, CPU).load(str(tmp_path / "model"))


def test_nearest_images_are_those_of_a_plain_search(plan):
    opened = workload(plan)
    nearest = opened.prepare(num_nearest=4).nearest
    distances = (opened.retain.double() - opened.forget[0].double()).flatten(1).norm(dim=1)
    assert distances[nearest[0]].tolist() == pytest.approx(distances.sort().values[:4].tolist())
    with pytest.raises(ValueError, match="there are only"):
        nearest_by_distance(opened.forget, [opened.retain[:2], opened.retain[2:3]], 4)


def test_neighbours_of_a_row_belong_to_its_forget_image(plan):
    opened = workload(plan)
    batch = opened.batch(opened.prepare(num_nearest=4), 7, 3, 0, 5, with_neighbours=True)
    assert batch.neighbours.shape == (5, 4, *batch.forget.shape[1:])
    with pytest.raises(ValueError, match="prepare"):
        opened.batch(plan.prepared[0], 7, 3, 0, 5, with_neighbours=True)


def test_preparing_tells_how_far_it_is(plan):
    heard = []
    prepare(plan.source, ("siss",), SimpleNamespace(tell=lambda *told: heard.append(told)))
    assert heard == [(NUM_RETAIN, NUM_RETAIN)], "all of them are one block"
