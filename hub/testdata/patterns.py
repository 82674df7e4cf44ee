"""Writes patterns.json: which names huggingface_hub's patterns match. Needs huggingface_hub 1.x.

Each row is a pattern with the names that it matches; "" stands for all names.
"""

import json
import pathlib

from huggingface_hub.utils import filter_repo_objects

NAMES = [
    "config.json", "vocab.txt", "model.safetensors", "model.onnx", "onnx/model.onnx", "onnx/model_O4.onnx",
    "onnx/sub/model.onnx", "1_Pooling/config.json", "a", "b", "c", "-", "]", "[", "!", "^", "a-c", "a\nb", "[a]", "é", "日本",
    "model.SAFETENSORS", ".gitattributes", "x.y+z", "a*b", "a?b", "\\", "&&", "~", "a|b",
]
PATTERNS = [
    "*", "?", "", "*.json", "onnx/*", "onnx/", "onnx\\*", "*onnx", "model.*", "[abc]", "[a-c]", "[!a-c]", "[]]", "[!]]", "[]a]", "[a",
    "[", "[]", "[!", "[!]", "[c-a]", "[!c-a]", "[a-]", "[-a]", "[--a]", "[a-b-c]", "[!-]", "[^a]", "[\\]", "[[]", "[[]a[]]", "a[*]b",
    "a[?]b", "a[-]c", "a?b", "*.[jt]*", "é", "[é日]*", "??", "x.y+z", "x.y.z", "(a)", "a|b", "$", "^", "*/*", "*/*/*", "[&~|]*", "[&&]*",
    "[a-a]", "[z-a-c]", "[!!]", "[!^]", "**", "*.safetensors",
]

rows = []
for pattern in PATTERNS:
    matched = list(filter_repo_objects(NAMES, allow_patterns=[pattern]))
    rows.append([pattern, matched])
text = json.dumps({"names": NAMES}, ensure_ascii=False)[:-1] + ', "matches": [\n'
text += ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows) + "\n]}\n"
pathlib.Path(__file__).with_suffix(".json").write_text(text)
