"""Writes losses.json: each loss of distillation and its gradients, by PyTorch in float64, at small random inputs.

The expressions are those of the papers' own code where there is some: torch.nn.KLDivLoss over softmax at a temperature
(huggingface/transformers-research-projects, distillation), torch.nn.MSELoss over projected hidden states and over attention scores
(huawei-noah/Pretrained-Language-Model, TinyBERT), torch.nn.CosineEmbeddingLoss (DistilBERT), softmaxes of scaled products of queries,
keys and values (microsoft/unilm, minilm, after the papers' equations), torch.nn.MSELoss over sentence embeddings (sentence-transformers).

usage: python make.py > losses.json    (needs torch; made with 2.x)
"""

import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
STARTS = [0, 5, 8]
T, S, D = 8, 4, 6  # tokens, the student's and the teacher's width
TEMPERATURE = 2.0


def rounded(*shape):
    # Numbers that float32 holds exactly, so that both sides read the same.
    return torch.randn(*shape).float().double()


def leaf(*shape):
    return rounded(*shape).requires_grad_()


def flat(x):
    return [float(v) for v in x.detach().reshape(-1)]


cases = []


def case(name, recipe, teacher, student, loss, head="SequenceClassification", labels=3, problem="", extra=None, projection=None):
    leaves = list(student.values()) + (list(projection) if projection else [])
    grads = torch.autograd.grad(loss, leaves)
    c = {
        "name": name, "recipe": recipe, "head": head, "labels": labels, "problem": problem, "starts": STARTS,
        "teacher": {k: flat(v) for k, v in teacher.items()},
        "student": {k: flat(v) for k, v in student.items()},
        "loss": float(loss.detach()),
        "gradient": {k: flat(g) for k, g in zip(student, grads)},
    }
    if projection:
        c["weight"], c["bias"] = flat(projection[0]), flat(projection[1])
        c["weight_gradient"], c["bias_gradient"] = flat(grads[-2]), flat(grads[-1])
    c.update(extra or {})
    cases.append(c)


def soft(s, t, temperature=TEMPERATURE):
    """Rows of logits: the mean over rows of KL(teacher || student) at a temperature, times its square."""
    return F.kl_div(F.log_softmax(s / temperature, -1), F.softmax(t / temperature, -1), reduction="batchmean") * temperature**2


# Soft labels, head by head.
logit = {"logit_weight": 1, "temperature": TEMPERATURE}
t, s = rounded(2, 3), leaf(2, 3)
case("classes", logit, {"logits": t}, {"logits": s}, soft(s, t))
t, s = rounded(2, 3), leaf(2, 3)
case("classes at temperature 1", {"logit_weight": 1, "temperature": 1}, {"logits": t}, {"logits": s}, soft(s, t, 1))

t, s = rounded(2, 3), leaf(2, 3)
p = torch.sigmoid(t / TEMPERATURE)
two = lambda z: torch.stack([F.logsigmoid(z), F.logsigmoid(-z)], -1)
loss = F.kl_div(two(s / TEMPERATURE), torch.stack([p, 1 - p], -1), reduction="none").sum(-1).mean() * TEMPERATURE**2
case("labels", logit, {"logits": t}, {"logits": s}, loss, problem="multi_label_classification")

t, s = rounded(2), leaf(2)
case("regression", logit, {"logits": t}, {"logits": s}, F.mse_loss(s, t), labels=1, problem="regression")

t, s = rounded(T, 3), leaf(T, 3)
classes = [-1, 2, -1, 0, -1, -1, 1, -1]
keep = torch.tensor([c >= 0 for c in classes])
case("tokens", logit, {"logits": t}, {"logits": s}, soft(s[keep], t[keep]), head="TokenClassification", extra={"token_classes": classes})

t, s = rounded(T, 2), leaf(T, 2)
spans = []
for a, b in zip(STARTS, STARTS[1:]):
    for column in (0, 1):
        spans.append(soft(s[a:b, column][None], t[a:b, column][None]))
case("answers", logit, {"logits": t}, {"logits": s}, sum(spans) / len(spans), head="QuestionAnswering")

t, s = rounded(1, 2), leaf(1, 2)
case("choices", logit, {"logits": t}, {"logits": s}, soft(s, t), head="MultipleChoice", extra={"choices": 2})

t, s = rounded(3, 7), leaf(3, 7)
case("masked words", logit, {"logits": t}, {"logits": s}, soft(s, t), head="MaskedLM", extra={"masked": [1, 3, 6]})

# Hidden states, with one projection for all layers as in TinyBERT's code, and without one.
for width, name in ((D, "hidden states"), (S, "hidden states of one width")):
    teacher = {f"hidden{i}": rounded(T, width) for i in (0, 2, 4)}
    student = {f"hidden{i}": leaf(T, S) for i in (0, 1, 2)}
    fit = (leaf(D, S), leaf(D))
    project = (lambda x: F.linear(x, *fit)) if width == D else (lambda x: x)
    loss = sum(F.mse_loss(project(student[f"hidden{i}"]), teacher[f"hidden{2 * i}"]) for i in (0, 1, 2))
    case(name, {"hidden_weight": 1}, teacher, student, loss, extra={"width": width}, projection=fit if width == D else None)

# Attention of both layers with the teacher's second and fourth, before softmax and after it. A row of qkv is query, key and value.
HEADS = 2


def heads(qkv, part, width, a, b, n=HEADS):
    """[A, tokens, width / A] of a sequence."""
    return qkv[a:b].reshape(b - a, 3, n, width // n)[:, part].transpose(0, 1)


def scores(qkv, x, y, width, a, b, n=HEADS):
    return heads(qkv, x, width, a, b, n) @ heads(qkv, y, width, a, b, n).transpose(1, 2) / math.sqrt(width // n)


for of in ("scores", "probabilities"):
    teacher = {f"qkv{i}": rounded(T, 3 * D) for i in (1, 3)}
    student = {f"qkv{i}": leaf(T, 3 * S) for i in (0, 1)}
    change = (lambda x: x) if of == "scores" else (lambda x: F.softmax(x, -1))
    loss = 0
    for i in (0, 1):
        pairs = [(change(scores(student[f"qkv{i}"], 0, 1, S, a, b)), change(scores(teacher[f"qkv{2 * i + 1}"], 0, 1, D, a, b))) for a, b in zip(STARTS, STARTS[1:])]
        loss += F.mse_loss(torch.cat([x.reshape(-1) for x, _ in pairs]), torch.cat([y.reshape(-1) for _, y in pairs]))
    case("attention: " + of, {"attention_weight": 1, "attention_of": of}, teacher, student, loss)

# Relations of the last layers: the mean over heads and positions of KL(teacher || student), added up.
for names in (["qq", "kk", "vv"], ["qk", "vv"]):
    teacher, student = {"qkv3": rounded(T, 3 * D)}, {"qkv1": leaf(T, 3 * S)}
    loss = 0
    for name in names:
        x, y = "qkv".index(name[0]), "qkv".index(name[1])
        rows = [(scores(student["qkv1"], x, y, S, a, b), scores(teacher["qkv3"], x, y, D, a, b)) for a, b in zip(STARTS, STARTS[1:])]
        total = sum(F.kl_div(F.log_softmax(s, -1), F.softmax(t, -1), reduction="sum") for s, t in rows)
        loss += total / (HEADS * T)
    case("relations " + ",".join(names), {"relation_weight": 1, "relations": names, "relation_heads": HEADS}, teacher, student, loss)

# The direction of the last hidden states.
teacher, student = {"hidden4": rounded(T, D)}, {"hidden2": leaf(T, S)}
fit = (leaf(D, S), leaf(D))
loss = F.cosine_embedding_loss(F.linear(student["hidden2"], *fit), teacher["hidden4"], torch.ones(T))
case("cosine", {"cosine_weight": 1}, teacher, student, loss, projection=fit)

# Vectors of sentences: means, projected; normalized or not.
for normalized in (False, True):
    for cosine in (False, True):
        teacher, student = {"hidden4": rounded(T, D)}, {"hidden2": leaf(T, S)}
        fit = (leaf(D, S), leaf(D))
        mean = lambda x: torch.stack([x[a:b].mean(0) for a, b in zip(STARTS, STARTS[1:])])
        v, w = F.linear(mean(student["hidden2"]), *fit), mean(teacher["hidden4"])
        if normalized:
            v, w = F.normalize(v, dim=-1), F.normalize(w, dim=-1)
        loss = F.cosine_embedding_loss(v, w, torch.ones(2)) if cosine else F.mse_loss(v, w)
        key = "sentence_cosine_weight" if cosine else "sentence_weight"
        case(f"sentences, {key}, normalized {normalized}", {key: 1}, teacher, student, loss, extra={"normalized": normalized}, projection=fit)

print('{"torch": "%s", "cases": [' % torch.__version__)
print(",\n".join(json.dumps(c) for c in cases))
print("]}")
