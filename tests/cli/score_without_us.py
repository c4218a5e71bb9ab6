"""Scores an exported file as a stranger would: onnxruntime, numpy, Pillow, scikit-learn's digits; no vitas_hw.

Usage: python score_without_us.py MODEL.onnx DATA.json  ->  prints the top-1 on the test indices
"""

import json
import sys

import numpy as np
import onnxruntime as ort
from PIL import Image
from sklearn.datasets import load_digits

model_path, data_path = sys.argv[1:]
session = ort.InferenceSession(model_path, providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
how = json.loads(metadata["preprocessing"])
classes = json.loads(metadata["class_names"])
with open(data_path) as file:
    indices = json.load(file)["indices"]["test"]
source = load_digits()
height, width = how["image_size"]
resample = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[how["interpolation"]]
hits = 0
for index in indices:
    pixels = np.round(source.images[index] / 16 * 255).astype(np.uint8)
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), resample), np.float32) / 255
    image = ((resized - how["mean"][0]) / how["std"][0]).astype(np.float32)[None, None]
    logits = session.run(None, {session.get_inputs()[0].name: image})[0]
    hits += classes[int(logits.argmax())] == str(source.target[index])
assert "vitas_hw" not in sys.modules
print(hits / len(indices))  # noqa: T201
