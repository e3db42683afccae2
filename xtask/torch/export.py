"""Weights and graphs beside torchvision, timm and onnxruntime.

python export.py PATH/TO/autodidact

makes randomly initialized networks in PyTorch, starts runs from them with `--init` at a learning rate of nearly nothing,
and compares features of the same pixels: PyTorch with the original weights, PyTorch with our exported weights loaded
strictly, `autodidact embed`, and our ONNX graph in onnxruntime, normalized outside and inside. Needs torch, torchvision,
timm, safetensors, onnx, onnxruntime, numpy and Pillow. Ends with 1 if anything differs by more than 1e-4.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

CASES = [  # name, what autodidact calls it, edge in pixels, more settings
    ("resnet18", "resnet18", 64, ["encoder.stem=imagenet", "encoder.width=64"]),
    ("resnet50", "resnet50", 64, ["encoder.stem=imagenet", "encoder.width=64"]),
    ("vit_tiny_patch16_224", "vit_tiny", 224, ["encoder.patch=16", "encoder.depth=12", "encoder.width=0"]),
    ("vit_small_patch16_224", "vit_small", 224, ["encoder.patch=16", "encoder.depth=12", "encoder.width=0"]),
]
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
IMAGES = 6


def network(name, classifier):
    if name.startswith("resnet"):
        made = getattr(torchvision.models, name)()
        if not classifier:
            made.fc = torch.nn.Identity()
        # Statistics that matter, so that a mix-up shows.
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                with torch.no_grad():
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.normal_(0, 0.1)
        return made.eval()
    made = timm.create_model(name, num_classes=1000 if classifier else 0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:  # Biases that are all 0 and scales that are all 1 would hide a mix-up.
                parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


@torch.no_grad()
def features(model, pixels):
    if isinstance(model, torchvision.models.ResNet):
        model.fc = torch.nn.Identity()
        return model(pixels).numpy()
    return model.forward_features(pixels)[:, 1:].mean(1).numpy()


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    torch.manual_seed(0)
    worst = 0.0
    for name, encoder, edge, settings in CASES:
        with tempfile.TemporaryDirectory() as folder:
            here = pathlib.Path(folder)
            levels = np.random.default_rng(0).integers(0, 256, (IMAGES, edge, edge, 3), dtype=np.uint8)
            (here / "images").mkdir()
            for number, image in enumerate(levels):
                Image.fromarray(image).save(here / "images" / f"{number}.png")
            raw = levels.transpose(0, 3, 1, 2).astype(np.float32) / 255
            theirs = network(name, classifier=True)
            save_file(theirs.state_dict(), here / "published.safetensors")
            sets = [
                f"encoder.name={encoder}", f"views.crops=[{{count=2,size={edge}}}]", "train.learning_rate=1e-30",
                "train.weight_decay=0", "data.validation=0", *settings,
            ]  # fmt: skip
            out = run(
                program, "pretrain", "images", "--method", "simclr", "--init", "published.safetensors", "--steps", "1",
                "--batch-size", "4", "--no-evaluate", "--out", "run", *[x for s in sets for x in ("--set", s)], cwd=here,
            )  # fmt: skip
            print(name, *re.findall(r"^(?:start|  {7}).*", out, re.M), sep="\n  ")
            run(program, "embed", "run", "images", "--out", "ours.npy", cwd=here)
            recipe = (here / "run" / "recipe.toml").read_text()
            numbers = [re.search(rf"^{key} = \[([^\]]*)\]", recipe, re.M)[1] for key in ("mean", "deviation")]
            mean, deviation = [
                np.array([float(x) for x in text.split(",") if x.strip()], np.float32).reshape(1, 3, 1, 1)
                for text in numbers
            ]
            pixels = (raw - mean) / deviation
            run(program, "export", "run", "--out", "w.safetensors", cwd=here)
            run(program, "export", "run", "--format", "onnx", "--out", "n.onnx", cwd=here)
            run(program, "export", "run", "--format", "onnx", "--raw-input", "--out", "r.onnx", cwd=here)

            state = load_file(here / "w.safetensors")
            loaded = network(name, classifier=False)
            loaded.load_state_dict(state, strict=True)
            reference = features(loaded, torch.from_numpy(pixels))
            # The one step moved the running statistics, and nothing else: the published weights, those of ours.
            for key, value in theirs.state_dict().items():
                if key in state and "running" not in key and "num_batches" not in key:
                    assert torch.equal(value, state[key]), key
            if not name.startswith("resnet"):
                report("  PyTorch, published weights", features(theirs, torch.from_numpy(pixels)), reference)
            worst = max(worst, report("  autodidact embed", np.load(here / "ours.npy"), reference))
            for file, x in (("n.onnx", pixels), ("r.onnx", raw)):
                onnx.checker.check_model(here / file, full_check=True)
                session = onnxruntime.InferenceSession(here / file)
                for batch in (IMAGES, 1):  # the batch is open
                    given = session.run(None, {"pixels": x[:batch]})[0]
                    worst = max(worst, report(f"  onnxruntime {file} batch {batch}", given, reference[:batch]))
    sys.exit(worst > 1e-4)


def report(what, found, expected):
    difference = float(np.abs(found - expected).max())
    print(f"{what}: largest difference {difference:.2e} (largest value {np.abs(expected).max():.2f})", flush=True)
    return difference


main()
