"""The text-to-image workload on a real, untrained Stable Diffusion in miniature: every line that needs no hub."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextModel

from diffusion.rng import stream
from metrics import measure
from metrics.evidence import Evidence
from metrics.subject import Fidelity
from metrics.testing_networks import write_descriptor
from scripts.assets_lib.autoencoder_training import build_autoencoder
from scripts.assets_lib.caption_tokenizer import build_tokenizer
from scripts.assets_lib.clip_training import build_clip
from scripts.assets_lib.text_to_image_training import Parts, build_unet, export_pipeline, frozen_text_encoder
from trainable.plan import Source, TrainingSettings, TrialPlan
from trainable.trial import TrialRunner
from trainable.workloads.text_to_image import TextToImageWorkload
from trainable.workloads.workload import WorkloadSettings
from tuning.record_tables import read_table

ROOT = Path(__file__).parents[2]
NUM_IMAGES, NUM_MEMORISED = 10, 4
METRICS = ("sscd", "sscd_original", "nll", "memorised_share", "copied_share", "membership_loss", "nll_neighbours",
           "sscd_neighbours")  # fmt: skip
FIDELITY = Fidelity(6, 3, 4, 2, 500, 2, 16, 2, 8)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("text to image")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(folder / "tokens")
    parts = Parts(build_autoencoder().eval(), frozen_text_encoder(build_clip(tokenizer)), tokenizer)
    export_pipeline(parts, build_unet(), folder / "model")
    images = torch.randint(256, (NUM_IMAGES, 32, 32, 3), generator=stream(0, "images"), dtype=torch.uint8).numpy()
    np.savez(folder / "generated.npz", images=images, memorised=np.arange(NUM_IMAGES) < NUM_MEMORISED)
    Image.fromarray(images[0]).save(folder / "shirt.png")
    (folder / "prompts.yaml").write_text(
        "- {image: other.png, original: a red seven, modified: a seven}\n"
        "- {image: shirt.png, original: a red one, modified: a red three}\n", encoding="utf-8"
    )  # fmt: skip
    write_descriptor(folder / "tiny.torchscript.pt")
    return WorkloadSettings(
        model=str(folder / "model"),
        retain=str(folder / "generated.npz"),
        forget=(str(folder / "shirt.png"),),
        descriptor=str(folder / "tiny.torchscript.pt"),
        prompts=str(folder / "prompts.yaml"),
        guidance_scale=3.0,
        num_neighbours=2,
        num_retain_images=3,
    )


def opened(settings, **changes):
    values = {**vars(settings), **changes}
    return TextToImageWorkload(WorkloadSettings(**values), torch.device("cpu"))


@pytest.fixture(scope="module")
def workload(settings):
    return opened(settings)


@pytest.fixture(scope="module")
def prepared(workload):
    return workload.prepare(num_nearest=3)


def test_every_image_and_every_prompt_is_encoded_once(settings, monkeypatch):
    rows = {"images": 0, "prompts": 0}
    encode, forward = AutoencoderKL.encode, CLIPTextModel.forward

    def encoded(self, images, *arguments, **options):
        rows["images"] += len(images)
        return encode(self, images, *arguments, **options)

    def embedded(self, input_ids, *arguments, **options):
        rows["prompts"] += len(input_ids)
        return forward(self, input_ids, *arguments, **options)

    monkeypatch.setattr(AutoencoderKL, "encode", encoded)
    monkeypatch.setattr(CLIPTextModel, "forward", embedded)
    workload = opened(settings)
    prepared = workload.prepare()
    assert rows == {"images": NUM_IMAGES + 1, "prompts": 3}
    for step in range(3):
        workload.batch(prepared, 0, step, 0, 4)
    workload.subject(prepared)
    assert rows == {"images": NUM_IMAGES + 1, "prompts": 3}, "trials encode nothing"


def test_a_batch_holds_latents_of_both_kinds_under_the_modified_prompt(workload, prepared):
    batch = workload.batch(prepared, 7, 3, 0, 6, with_neighbours=True)
    again = workload.batch(prepared, 7, 3, 0, 6)
    assert torch.equal(batch.retain, again.retain)
    assert torch.equal(batch.noise, again.noise)
    assert not torch.equal(batch.retain, workload.batch(prepared, 7, 4, 0, 6).retain)
    assert batch.neighbours.shape == (6, 3, *batch.forget.shape[1:])
    assert len(prepared.forget) == NUM_MEMORISED
    assert len(prepared.retain) == NUM_IMAGES - NUM_MEMORISED
    condition = batch.condition["encoder_hidden_states"]
    assert torch.equal(condition[5], prepared.prompts["modified"][0])
    assert not torch.equal(prepared.prompts["modified"], prepared.prompts["original"])


def test_latents_are_those_of_the_pipeline(workload, prepared, settings):
    pipeline = StableDiffusionPipeline.from_pretrained(settings.model, torch_dtype=torch.float32)
    images = (
        torch.from_numpy(np.load(settings.retain)["images"][:NUM_MEMORISED]).permute(0, 3, 1, 2).float() / 127.5 - 1
    )
    with torch.no_grad():
        mean = pipeline.vae.encode(images).latent_dist.mean * pipeline.vae.config.scaling_factor
    torch.testing.assert_close(prepared.forget.mean, mean, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        embedding, empty = pipeline.encode_prompt("a red three", "cpu", 1, True)
    torch.testing.assert_close(prepared.prompts["modified"], embedding)
    torch.testing.assert_close(prepared.prompts[""], empty)


def test_other_images_of_the_prompt_say_how_far_to_forget(workload, prepared):
    subject = workload.unmemorised(prepared, None)
    space = workload.subject(prepared).space
    assert torch.equal(subject.space.forget, space.retain)
    assert len(subject.forget) == len(space.retain) > 1
    likelihood = Evidence(workload.load(workload.settings.model), subject, FIDELITY, seed=0).forget_likelihood
    assert likelihood.bits_per_dim.shape == (len(space.retain),)
    assert likelihood.bits_per_dim.isfinite().all()


def test_samples_are_made_under_both_prompts_with_guidance(workload, prepared):
    denoiser = workload.load(workload.settings.model)
    evidence = Evidence(denoiser, workload.subject(prepared), FIDELITY, seed=0)
    assert evidence.samples.shape == (6, 3, 32, 32)
    assert evidence.samples.abs().max() <= 1
    assert evidence.samples_of("modified").shape == evidence.samples_of("original").shape == (3, 3, 32, 32)
    assert torch.equal(evidence.samples[1::2], evidence.samples_of("original"))
    assert evidence.denoisings.shape == (1, 3, 3, 32, 32), "what the modified prompt makes"
    assert evidence.counts["samples"] == 2 * 6 * FIDELITY.num_sampling_steps, "two rows a step, with and without prompt"
    space = workload.subject(prepared).space
    noisy, timesteps = torch.randn(2, 4, 8, 8, generator=stream(0, "noise")), torch.tensor([10, 900])
    conditions = [{"encoder_hidden_states": prepared.prompts[name].expand(2, -1, -1)} for name in ("modified", "")]
    with torch.no_grad():
        with_prompt, without = (denoiser(noisy, timesteps, condition) for condition in conditions)
        guided = space.prompts["modified"](denoiser)(noisy, timesteps)
    torch.testing.assert_close(guided, without + 3.0 * (with_prompt - without), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        {"method": "siss", "lambd": 0.5, "scaling_norm": 5.0},
        {"method": "erasediff", "eta": 1e-2},
        {"method": "bernoulli", "lambd": 0.5, "scaling_norm": 5.0},
        {"method": "retrack", "lambd": 0.1},
    ],
    ids=lambda config: config["method"],
)
def test_a_trial_trains_and_reports_every_metric(settings, prepared, config):
    source = Source("text_to_image", WorkloadSettings(**{**vars(settings), "num_neighbours": 2}))
    training = TrainingSettings((1, 2), 4, 2, 1e-3, (0.9, 0.999), 1e-2, 1.0, 3)
    plan = TrialPlan(source, training, FIDELITY, METRICS, 1, (prepared,))
    runner = TrialRunner(plan)
    untouched = {name: value.clone() for name, value in runner.denoiser.network.state_dict().items()}
    runner.start({"trial_id": "00000", "seed": 1, "repeat": 0, **config})
    report = runner.advance()
    assert all(np.isfinite(report[metric]) for metric in METRICS), report
    assert any(not torch.equal(value, untouched[name]) for name, value in runner.denoiser.network.state_dict().items())
    runner.start({"trial_id": "00001", "seed": 1, "repeat": 0, **config})
    assert all(torch.equal(value, untouched[name]) for name, value in runner.denoiser.network.state_dict().items())


def test_a_member_is_a_whole_pipeline(workload, tmp_path):
    denoiser = workload.load(workload.settings.model)
    with torch.no_grad():
        next(denoiser.network.parameters()).fill_(0.25)
    workload.save_pipeline(denoiser.network, tmp_path / "member")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "member", use_safetensors=True)
    assert torch.all(next(pipeline.unet.parameters()) == 0.25)
    assert not list((tmp_path / "member").rglob("*.bin"))


def test_a_saved_embedding_stands_for_a_prompt(settings, prepared, tmp_path):
    embedding = prepared.prompts["modified"][0].contiguous()
    save_file({"prompt_embeds": embedding}, tmp_path / "saved.safetensors")
    file = tmp_path / "prompts.yaml"
    file.write_text("- {image: shirt.png, original: a red one, modified: saved.safetensors}\n", encoding="utf-8")
    again = opened(settings, prompts=str(file)).prepare()
    assert torch.equal(again.prompts["modified"][0], embedding)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- {image: shirt.png, original: caf\xe9, modified: b}", "is not UTF-8"),
        (b"- {original: a, modified: b}", "names no image"),
        (b"- {image: shirt.png, original: a}", "names no modified"),
        (b"- {image: other.png, original: a, modified: b}", "names no image shirt.png but other.png"),
        (b"image: shirt.png", "no list"),
        (b"- {image: shirt.png, original: a, modified: b, prompt: c}", "unknown key 'prompt'"),
        (b"- !!python/object/apply:os.system [touch x]", "cannot be read"),
    ],
)
def test_a_prompt_file_is_refused_with_the_reason(settings, tmp_path, content, message):
    file = tmp_path / "prompts.yaml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as refused:
        opened(settings, prompts=str(file)).prompt  # noqa: B018
    assert str(file) in str(refused.value)


def test_labels_of_one_kind_and_missing_ones_are_refused(settings, tmp_path):
    images = np.load(settings.retain)["images"]
    for name, arrays, message in (
        ("alike", {"memorised": np.ones(NUM_IMAGES, dtype=bool)}, "all of which are memorised"),
        ("few", {"memorised": np.array([True, False])}, r"whose 10 images have 'memorised' of bool \(2,\)"),
        ("none", {}, "which has no array 'memorised'"),
    ):
        np.savez(tmp_path / f"{name}.npz", images=images, **arrays)
        with pytest.raises(ValueError, match=message):
            opened(settings, retain=str(tmp_path / f"{name}.npz")).labelled  # noqa: B018


def test_the_memorised_image_is_never_labelled_as_not_memorised(settings, tmp_path):
    images = np.load(settings.retain)["images"]
    np.savez(tmp_path / "wrong.npz", images=images, memorised=np.arange(NUM_IMAGES) >= NUM_MEMORISED)
    with pytest.raises(ValueError, match=r"must not be labelled as not memorised, but image 1 of .*wrong\.npz"):
        opened(settings, retain=str(tmp_path / "wrong.npz")).prepare()


@pytest.mark.parametrize("name", ["StableDiffusionXLPipeline", "StableDiffusionInpaintPipeline", "DDPMPipeline"])
def test_a_pipeline_of_another_kind_is_refused_where_it_is_loaded(settings, tmp_path, name):
    index = json.loads((Path(settings.model) / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))
    other = opened(settings, model=str(tmp_path))
    for load in (other.prepare, lambda: other.load(str(tmp_path)), lambda: opened(settings).load(str(tmp_path))):
        with pytest.raises(ValueError, match=f"of the class StableDiffusionPipeline.*is a {name}"):
            load()


def test_a_folder_with_labels_reads_like_an_archive(settings, tmp_path):
    with np.load(settings.retain) as archive:
        for number, image in enumerate(archive["images"]):
            Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
        lines = [f"{number:02d}.png,{int(label)}" for number, label in enumerate(archive["memorised"])]
    (tmp_path / "labels.csv").write_text("\n".join(["file,memorised", *lines]), encoding="utf-8")
    folder, archive = opened(settings, retain=str(tmp_path)).labelled, opened(settings).labelled
    assert torch.equal(folder.images, archive.images)
    assert torch.equal(folder.memorised, archive.memorised)
    (tmp_path / "labels.csv").write_text("file,memorised\n00.png,yes\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"file,memorised \(0 or 1\)"):
        opened(settings, retain=str(tmp_path)).labelled  # noqa: B018


def test_the_study_of_the_paper_ends_in_its_files(settings, tmp_path):
    """`studies/stable_diffusion.yaml` on the miniature and on one core: fewer rows, images and trials."""
    taken = ("model", "retain", "descriptor", "prompts")
    flags = [
        *("--methods", "siss_no_is", "naive_deletion", "--num-trials", "2", "--max-concurrent-trials", "1"),
        *("--objectives", "minimize sscd", "minimize sscd_original", "--report-metrics", "nll", "memorised_share"),
        *("--constraint", "membership_loss <= 100x", "--clip", "none", "--rungs", "1", "2", "--accumulation", "2"),
        *("--num-images", "4", "--final-num-images", "4", "--num-sampling-steps", "2", "--final-num-probes", "2"),
        *("--num-likelihood-evaluations", "14", "--num-membership-noises", "2", "--num-retain-images", "3"),
        *("--cpus-per-trial", "1", "--gpus-per-trial", "0", "--storage-path", str(tmp_path), "--name", "prompted"),
        *("--forget", settings.forget[0], "--retrained-model", str(retrained(settings, tmp_path))),
        *(word for name in taken for word in (f"--{name}", getattr(settings, name))),
    ]
    command = [sys.executable, str(ROOT / "tune_unlearning.py"), "--study", str(ROOT / "studies/stable_diffusion.yaml")]
    ended = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    reports = read_table(tmp_path / "prompted" / "reports.csv")
    assert len(reports) == 4
    assert reports[["sscd", "sscd_original", "nll", "memorised_share"]].notna().all().all()
    assert set(reports["forget_image"]) == {"shirt"}
    assert "NLL (of the latent)" in (tmp_path / "prompted" / "report.html").read_text(encoding="utf-8")


def retrained(settings, folder):
    """Another untrained UNet, so chosen that both SSCDs of its samples are lower: the study takes it for its ideal."""
    workload = opened(settings)
    prepared, fidelity = workload.prepare(), Fidelity(4, 2, 2, 2, 500, 2, 14, 2, 8)

    def similarities(denoiser):
        measured = measure(["sscd", "sscd_original"], Evidence(denoiser, workload.subject(prepared), fidelity, 0))
        return [measured[name].value for name in ("sscd", "sscd_original")]

    denoiser = workload.load(settings.model)
    before = similarities(denoiser)
    for seed in range(50):
        with torch.no_grad():
            last = denoiser.network.conv_out
            last.bias.copy_(torch.randn(last.bias.shape, generator=stream(seed, "bias")))
        if all(after < value - 0.05 for after, value in zip(similarities(denoiser), before, strict=True)):
            workload.save_pipeline(denoiser.network, folder / "retrained")
            return folder / "retrained"
    raise AssertionError("no bias lowers both")
