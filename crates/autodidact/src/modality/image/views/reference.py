"""Writes reference.json: what torchvision's transforms.v2 (floats) and Pillow (bytes) make of one small image.

    python reference.py        needs torch, torchvision, numpy, Pillow; takes a few minutes on one thread

Pixels are stored as whole numbers, in hundredths of a byte's step (25500 is white), `[height][width][channels]`;
normalized values are in thousandths.
"""
import json
import pathlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageEnhance
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
DRAWS = 100_000
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def source(width=20, height=14):
    """A gradient with noise; the first rows hold the corner cases of a change of hue."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 12, y * 17, 250 - x * 5 - y * 9], -1)
    pixels = np.clip(smooth + rng.integers(-40, 41, smooth.shape), 0, 255).astype(np.uint8)
    pixels[0, :8] = [[0, 0, 0], [255] * 3, [128] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 0, 0], [254, 255, 255]]
    pixels[1, :8] = [[255, 255, 0], [0, 255, 255], [255, 0, 255], [90, 90, 30], [30, 90, 90], [90, 30, 90],
                     [127, 128, 129], [200, 200, 201]]
    return pixels


BYTES = source()
SOURCE = torch.from_numpy(BYTES).permute(2, 0, 1).float() / 255
PATCH = SOURCE[:, :8, :8]
cases = []


def hwc(image):
    return image.permute(1, 2, 0).flatten()


def case(name, image, parameters=(), scale=25500):
    values = [round(v) for v in (hwc(image).double() * scale).tolist()]
    cases.append({"name": name, "parameters": list(parameters), "values": values})


# name, then x, y, width, height, size
for box in [(0, 0, 20, 14, 8), (3, 2, 5, 4, 8), (2, 1, 13, 11, 8), (4, 3, 1, 1, 3), (0, 0, 8, 8, 8), (1, 0, 17, 3, 6),
            (7, 0, 2, 14, 5), (0, 0, 20, 14, 1)]:
    x, y, width, height, size = box
    case("crop", F.resized_crop(SOURCE, y, x, height, width, [size, size], antialias=True), box)
case("crop_grey", F.resized_crop(SOURCE[:1], 1, 2, 11, 13, [8, 8], antialias=True), (2, 1, 13, 11, 8))
for factor in (0.0, 0.6, 1.4):
    case("brightness", F.adjust_brightness(PATCH, factor), [factor])
    case("contrast", F.adjust_contrast(PATCH, factor), [factor])
    case("saturation", F.adjust_saturation(PATCH, factor), [factor])
case("contrast_grey", F.adjust_contrast(PATCH[:1], 0.6), [0.6])
for factor in (-0.5, -0.1, 0.03, 0.1, 0.5):
    case("hue", F.adjust_hue(PATCH, factor), [factor])
case("grayscale", F.rgb_to_grayscale(PATCH, 3))
for sigma in (0.1, 0.7, 1.5, 2.0):
    case("blur", F.gaussian_blur(PATCH, [2 * int(np.ceil(3 * sigma)) + 1] * 2, [sigma] * 2), [sigma])
for threshold in (128, 200):
    case("solarize", F.solarize(PATCH, threshold / 255), [threshold])
case("flip", F.horizontal_flip(PATCH))
case("vertical_flip", F.vertical_flip(PATCH))
for turns in (1, 2, 3):
    case("turn", torch.rot90(PATCH, turns, (1, 2)), [turns])
normal = F.normalize(PATCH, MEAN, DEVIATION)
case("normalize", normal, scale=1000)
case("erase", F.erase(normal, 2, 3, 4, 5, torch.zeros(3, 1, 1)), (3, 2, 5, 4), scale=1000)

# A whole pipeline, in floats and in bytes.
x, y, width, height, size = 2, 1, 13, 11, 8
view = F.horizontal_flip(F.resized_crop(SOURCE, y, x, height, width, [size, size], antialias=True))
view = F.adjust_saturation(view, 1.3)
view = F.adjust_brightness(view, 1.2)
view = F.adjust_hue(view, 0.102)  # 26 of Pillow's 256 steps, nearly
view = F.adjust_contrast(view, 0.8)
case("jittered", view)
view = F.normalize(F.solarize(F.gaussian_blur(view, [7, 7], [0.8, 0.8]), 128 / 255), MEAN, DEVIATION)
case("pipeline", view, scale=1000)
# Cropped first: `resize(box=…)` would blend in pixels from outside the box.
view = Image.fromarray(BYTES).crop((x, y, x + width, y + height)).resize((size, size), Image.Resampling.BILINEAR)
view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
view = ImageEnhance.Brightness(ImageEnhance.Color(view).enhance(1.3)).enhance(1.2)
view = ImageEnhance.Contrast(F.adjust_hue(view, 0.102)).enhance(0.8)
case("jittered_pillow", torch.from_numpy(np.array(view)).permute(2, 0, 1) / 255)
case("grey_pillow", torch.from_numpy(np.array(Image.fromarray(BYTES[:8, :8]).convert("L")))[None] / 255)

# All that `draw` does when nothing is left to chance, on the left 14 × 14 pixels.
view = F.vertical_flip(F.horizontal_flip(F.resize(SOURCE[:, :, :14], [8, 8], antialias=True)))
view = F.solarize(F.gaussian_blur(F.rgb_to_grayscale(view, 3), [7, 7], [1.0, 1.0]), 100 / 255)
case("drawn", F.normalize(view, MEAN, DEVIATION), scale=1000)


def summary(values):
    values = np.asarray(values, dtype=np.float64)
    return [round(float(v), 5) for v in [values.mean(), *np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])]]


statistics = []
for width, height, area, ratio in [(500, 375, (0.08, 1), (0.75, 1.3333)), (32, 32, (0.2, 1), (0.75, 1.3333)),
                                   (400, 100, (0.3, 1), (0.75, 1.3333)), (1, 5000, (0.08, 1), (0.75, 1.3333))]:
    crop = v2.RandomResizedCrop(8, scale=area, ratio=ratio)
    image = torch.empty(3, height, width)
    drawn = [crop.make_params([image]) for _ in range(DRAWS)]
    statistics.append({
        "name": "crop", "parameters": [width, height, *area, *ratio],
        "area": summary([p["width"] * p["height"] / (width * height) for p in drawn]),
        "aspect": summary([p["width"] / p["height"] for p in drawn]),
        "x": summary([(p["left"] + p["width"] / 2) / width for p in drawn]),
        "y": summary([(p["top"] + p["height"] / 2) / height for p in drawn]),
    })
erase = v2.RandomErasing(p=1.0)
drawn = [erase.make_params([torch.empty(3, 32, 32)]) for _ in range(DRAWS)]
drawn = [p for p in drawn if p["v"] is not None]
statistics.append({
    "name": "erase", "parameters": [32, len(drawn) / DRAWS],
    "area": summary([p["h"] * p["w"] / 1024 for p in drawn]),
    "aspect": summary([p["h"] / p["w"] for p in drawn]),
    "x": summary([(p["j"] + p["w"] / 2) / 32 for p in drawn]),
    "y": summary([(p["i"] + p["h"] / 2) / 32 for p in drawn]),
})

# The pixels of SimCLR's views of the whole image: mean and deviation of each channel over all views, and the mean of
# the deviation inside a view.
simclr = v2.Compose([
    v2.RandomResizedCrop(16, scale=(0.08, 1.0), antialias=True),
    v2.RandomHorizontalFlip(0.5),
    v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
    v2.RandomGrayscale(0.2),
    v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], 0.5),
    v2.RandomSolarize(128 / 255, 0.2),
    v2.Normalize(MEAN, DEVIATION),
])
views = torch.stack([simclr(SOURCE) for _ in range(DRAWS // 5)]).double()
pixels = {
    "mean": views.mean((0, 2, 3)).tolist(),
    "deviation": views.std((0, 2, 3)).tolist(),
    "inside": views.std((2, 3)).mean(0).tolist(),
}

lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
numbers = ",\n".join(json.dumps(s, separators=(",", ":")) for s in statistics)
versions = f"torchvision {torchvision.__version__}, torch {torch.__version__}, Pillow {PIL.__version__}"
pathlib.Path(__file__).with_suffix(".json").write_text(
    f'{{"made_by":"{versions}",\n"width":20,"height":14,"source":{json.dumps(BYTES.flatten().tolist(), separators=(",", ":"))},\n'
    f'"cases":[\n{lines}],\n"statistics":[\n{numbers}],\n"pixels":{json.dumps(pixels)}}}\n'
)
