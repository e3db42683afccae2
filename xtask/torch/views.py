"""Two SimCLR views of a decoded image on one thread: images per second of torchvision (on PIL images and v2 on tensors)
and albumentations, beside `cargo bench -p autodidact --bench views`.

    python xtask/torch/views.py [--sheet FOLDER]

Prints a line of JSON for each pipeline and size. Every pipeline begins with the decoded image in the form it likes best
and ends with a normalized float tensor. Needs torch, torchvision; albumentations is left out where it isn't installed.
"""
import json, sys, time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import v2

torch.set_num_threads(1)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ROUNDS, SECONDS = 7, 0.7


def picture(width, height):
    """The picture that the Rust side draws by the same formula."""
    u, v = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    wave = np.sin(40 * u * v)
    inside = np.where(np.sqrt((u - 0.6) ** 2 + (v - 0.4) ** 2) < 0.25, 70.0, 0.0)
    levels = [90 + 60 * u + 40 * wave + inside, 120 + 50 * v - 30 * wave, 80 + 60 * np.cos(9 * u) + inside * 0.5]
    return np.stack(levels, -1).clip(0, 255).astype(np.uint8)


def on_pil(size):
    blur = [T.RandomApply([T.GaussianBlur(int(0.1 * size) // 2 * 2 + 1, (0.1, 2.0))], 0.5)] if size > 32 else []
    return T.Compose([
        T.RandomResizedCrop(size, (0.08, 1.0)), T.RandomHorizontalFlip(),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), T.RandomGrayscale(0.2), *blur,
        T.ToTensor(), T.Normalize(MEAN, STD),
    ]), Image.fromarray


def on_tensors(size):
    blur = [v2.RandomApply([v2.GaussianBlur(int(0.1 * size) // 2 * 2 + 1, (0.1, 2.0))], 0.5)] if size > 32 else []
    return v2.Compose([
        v2.RandomResizedCrop(size, (0.08, 1.0), antialias=True), v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), v2.RandomGrayscale(0.2), *blur,
        v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD),
    ]), lambda image: torch.from_numpy(image).permute(2, 0, 1).contiguous()


def albumentations(size):
    import albumentations as A
    import cv2
    cv2.setNumThreads(1)
    blur = [A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=0.5)] if size > 32 else []
    pipeline = A.Compose([
        A.RandomResizedCrop(size=(size, size), scale=(0.08, 1.0)), A.HorizontalFlip(p=0.5),
        A.ColorJitter(brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4), hue=(-0.1, 0.1), p=0.8),
        A.ToGray(p=0.2), *blur, A.Normalize(MEAN, STD), A.pytorch.ToTensorV2(),
    ])
    return lambda image: pipeline(image=image)["image"], lambda image: image


def main():
    folder = sys.argv[sys.argv.index("--sheet") + 1] if "--sheet" in sys.argv else None
    for width, height, size in ((32, 32, 32), (500, 375, 224)):
        for name, make in (("torchvision on PIL", on_pil), ("torchvision v2 on tensors", on_tensors), ("albumentations", albumentations)):
            try:
                pipeline, prepare = make(size)
            except ImportError:
                print(json.dumps({"pipeline": name, "skipped": "not installed"}))
                continue
            image, rates = prepare(picture(width, height)), []
            for _ in range(ROUNDS):
                begin, images = time.perf_counter(), 0
                while time.perf_counter() - begin < SECONDS:
                    pipeline(image), pipeline(image)
                    images += 1
                rates.append(images / (time.perf_counter() - begin))
            rates.sort()
            views = [pipeline(image) for _ in range(400)]
            print(json.dumps({"pipeline": name, "image": [width, height], "view": size, "images_per_second": round(rates[ROUNDS // 2], 1),
                              "least": round(rates[0], 1), "most": round(rates[-1], 1),
                              "mean": round(float(np.mean([v.mean().item() for v in views])), 4),
                              "deviation": round(float(np.mean([v.std().item() for v in views])), 4)}), flush=True)
            if folder and size == 224:
                rows = torch.stack(views[:32]) * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
                tiles = rows.clamp(0, 1).reshape(4, 8, 3, size, size).permute(0, 3, 1, 4, 2).reshape(4 * size, 8 * size, 3)
                Image.fromarray((tiles.numpy() * 255).astype(np.uint8)).save(f"{folder}/{name.replace(' ', '-')}.png")


main()
