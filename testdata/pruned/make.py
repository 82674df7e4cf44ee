#!/usr/bin/env python3
"""Makes the goldens of this folder with transformers 4 (4.57.6, torch 2): a small random model, the same with heads taken out by its
prune_heads, and what they give, in float64. transformers 5 has no prune_heads.

    pip install torch transformers==4.57.6
    python testdata/pruned/make.py
"""

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

HERE = Path(__file__).resolve().parent
PRUNED = {0: [1], 1: [0, 2]}
SEQUENCES = [([2, 7, 11, 5, 3], [0, 0, 0, 1, 1], 1), ([2, 19, 22, 1, 8, 8, 3], [0] * 7, 2)]


def main():
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=23, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=16, max_position_embeddings=9,
        num_labels=3, attn_implementation="eager",
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * torch.randn_like(p)
    model.save_pretrained(HERE / "full")
    model.double()
    out = {"sequences": []}
    for ids, types, label in SEQUENCES:
        mask = torch.ones(config.num_hidden_layers, config.num_attention_heads, dtype=torch.float64, requires_grad=True)
        loss = model(torch.tensor([ids]), token_type_ids=torch.tensor([types]), head_mask=mask, labels=torch.tensor([label])).loss
        loss.backward()
        out["sequences"].append({"input_ids": ids, "token_type_ids": types, "label": label, "loss": loss.item(), "head_mask_gradient": mask.grad.tolist()})
    model.float()
    model.prune_heads(PRUNED)
    model.save_pretrained(HERE / "heads")
    model.double()
    for s in out["sequences"]:
        with torch.no_grad():
            ids, types = torch.tensor([s["input_ids"]]), torch.tensor([s["token_type_ids"]])
            s["pruned_hidden"] = model.bert(ids, token_type_ids=types).last_hidden_state[0].tolist()
            s["pruned_logits"] = model(ids, token_type_ids=types).logits[0].tolist()
    (HERE / "expected.json").write_text(json.dumps(out) + "\n")


main()
