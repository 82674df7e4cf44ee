#!/usr/bin/env python3
"""Writes pipelines.json: tokenizer.json files around WordPiece and WordLevel, and what Hugging Face's tokenizers makes of texts.

    pip install tokenizers==0.23.3
    python3 make.py

Offsets are in bytes. A pipeline without a normalizer, pre-tokenizer and so on has the one of the first, BERT's own.
"""
import hashlib
import itertools
import json
import pathlib

import tokenizers
from tokenizers import Tokenizer, normalizers, pre_tokenizers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the cat sat un ##want ##ed hello world don ' t , . ! ? - ( ) $ 3 14 42 ##4 ##2 1 2 caf ##e café cafe ##é na ##ive naïve
 The Cat HELLO Hello É é e ##s s fi ﬁ 电 影 ##影 ##电 한 각 ᄒ ##ᅡ ##ᆫ ᄀ ##ᅡ ##ᆨ カ ガ カ ##゙ ² ½ ① ▁ ▁the ▁cat ▁hello _ the_cat
 ##_ ##cat ##sat ##the ##. ##, x y ##x ##y -the cat- -- ... ##- q quote '' `` " < s > <s> </s> <mask> İ i ##̇ σ ς ##σ ss ß ##ß Ǆ
 http : / ##: ##/ ́ ̣ ##́ ##̣ ḍ ḍ̇ ##̇ ữ u ##ữ ̛ क ि ##ि ก ำ า ํ ##ํ ##า 5 ٣ Ⅷ 三 🙂 ##🙂 👍 ##👍""".split()


def vocabulary():
    tokens = list(SPECIAL)
    for word in WORDS + ["##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"] + list("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"):
        if word not in tokens:
            tokens.append(word)
    # Words with white space, for pre-tokenizers that keep it.
    return tokens + ["the cat", " the", "cat ", " "]


VOCAB = {token: i for i, token in enumerate(vocabulary())}

TEXTS = [
    "", " ", "the cat sat", "The CAT, unwanted!", "Hello-World (don't)...", "café CAFÉ cafe\u0301 nai\u0308ve",
    "e\u0301\u0323 e\u0323\u0301 \u0301\u0323x \u1e0d\u0307 d\u0307\u0323 u\u031b\u0303 \u1eef", "电影cat电 影", "한각 \u1112\u1161\u11ab\u1100\u1161\u11a8 가\u11a8",
    "カ\u3099 ガ ｶﾞ \u3099", "ﬁ ² ½ ① ﷺ Ⅷ ٣ 三 Å \u212b \u2126", "İi I\u0307 Σς ΣΑΣ. ß ẞ Ǆ ǅ", "a\u200bb\u200dc\ufeffd\u00ade", "a\x00b\x01c\x07d\x7fe\ufffdf\x8fg\x9fh",
    "\t the\u00a0cat\u3000sat\u2028x\u2029y\x0b\x0c\r\n", "  the  cat  ", "🙂👍🏽 👨\u200d👩\u200d👧 x🙂", "the_cat the-cat --the-- '' ``", "3.14 1,000 42x x42y 12ab34",
    "[MASK] a[MASK]b [CLS][SEP] [mask] [UNK]", "<mask>the <mask> cat <s></s> <ent> <ENT>the <Ent>", "the " * 6 + "cat", "x" * 99 + " " + "y" * 101 + " " + "é" * 60,
    "http://the.cat/?q=3&x=y#s", "\u0915\u093f \u0e01\u0e33 \u0f77\u0f81 \u0340\u0341\u0344 \u0958", "A\U0001d400\U0001d4d0 \uff21\uff22\uff11\uff01", "\u03d3\u03d4 \u1fbf \u0385 \u00a8",
    "“the” ‘cat’ — sat… ¿q? §", "the\ncat\n\nsat\n", "▁the▁cat", "q\u0345\u0301 \u1fb3 \u1f80", "\ud7a3\u11a8 \u1100\u1161\u1100", "\U0001d15e \U0001d157\U0001d165", "  ", "--", "\u0301", "\u00a0",
    "\u20dd\u0488x \u07fd \u1cf2x", "\U00011de0 \U000116d0 \u00b2\u00bc \u2164", "the " + "\u0323\u0301" * 6 + "cat",
]
PAIRS = [("the cat", "sat"), ("the", ""), ("", "cat"), ("", ""), ("The café", "<mask> [MASK] 电"), (" ", " ")]

BERT_N = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
BERT_P = {"type": "BertPreTokenizer"}
CLS, SEP = VOCAB["[CLS]"], VOCAB["[SEP]"]
BERT_T = {"type": "BertProcessing", "sep": ["[SEP]", SEP], "cls": ["[CLS]", CLS]}
WORDPIECE = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}


def normalizer_sequence(*list_):
    return {"type": "Sequence", "normalizers": list(list_)}


def splitter_sequence(*list_):
    return {"type": "Sequence", "pretokenizers": list(list_)}


def n(kind, **more):
    return {"type": kind, **more}


def replace(content, **pattern):
    return n("Replace", pattern=pattern, content=content)


def split(behavior, invert=False, **pattern):
    return n("Split", pattern=pattern, behavior=behavior, invert=invert)


def added(content, **flags):
    return {"content": content, **{k: flags.get(k, False) for k in ("single_word", "lstrip", "rstrip", "normalized", "special")}}


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def pipelines():
    yield "bert", {}
    # Normalizers.
    for kind in ["Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Nmt"]:
        yield "n-" + kind, {"normalizer": n(kind)}
        yield "n-" + kind + "-whitespace", {"normalizer": n(kind), "pre_tokenizer": n("WhitespaceSplit")}
    yield "n-none", {"normalizer": None}
    yield "n-sequence-of-bert", {"normalizer": normalizer_sequence(BERT_N)}
    yield "n-sequence-of-none", {"normalizer": normalizer_sequence()}
    yield "n-cased", {"normalizer": {**BERT_N, "lowercase": False}}
    yield "n-sequence-of-cased", {"normalizer": normalizer_sequence({**BERT_N, "lowercase": False}, normalizer_sequence(n("Lowercase")))}
    yield "n-nfd-lower-strip", {"normalizer": normalizer_sequence(n("NFD"), n("Lowercase"), n("StripAccents"))}
    yield "n-nfkc-lower", {"normalizer": normalizer_sequence(n("NFKC"), n("Lowercase"))}
    yield "n-nfd-nfc", {"normalizer": normalizer_sequence(n("NFD"), n("NFC"))}
    yield "n-nfkd-nfkc-bert", {"normalizer": normalizer_sequence(n("NFKD"), n("NFKC"), BERT_N)}
    yield "n-bert-nfc", {"normalizer": normalizer_sequence({**BERT_N, "strip_accents": False}, n("NFC"))}
    yield "n-nmt-nfkc", {"normalizer": normalizer_sequence(n("Nmt"), n("NFKC"), replace(" ", Regex=" {2,}"), n("Lowercase"))}
    for left, right in itertools.product([True, False], repeat=2):
        yield f"n-strip-{left}-{right}", {"normalizer": n("Strip", strip_left=left, strip_right=right), "pre_tokenizer": split("Isolated", String=" ")}
    yield "n-prepend", {"normalizer": n("Prepend", prepend="▁")}
    yield "n-prepend-two", {"normalizer": normalizer_sequence(n("Prepend", prepend="x-"), n("Lowercase"))}
    yield "n-prepend-empty", {"normalizer": n("Prepend", prepend="")}
    yield "n-replace-string", {"normalizer": replace("the", String="cat")}
    yield "n-replace-longer", {"normalizer": normalizer_sequence(replace(" quote ", String="''"), replace("", String="the"))}
    yield "n-replace-dot", {"normalizer": replace("-", String=".")}
    for i, pattern in enumerate([r"\s+", r"\d", r"[^\w\s]", r"\p{L}+", r"[\p{N}\p{P}]+", r"(the|cat)+", r"^\s+", r"\s+$", r"[a-c]", r"\u0301|\x{323}", r"x{2,5}", r"[^a-z\-]+?", r"\Athe|cat\z", r"t.|(a|at)(t|ts)"]):
        yield f"n-replace-regex-{i}", {"normalizer": replace("_", Regex=pattern), "pre_tokenizer": n("WhitespaceSplit")}
    # Pre-tokenizers.
    yield "p-none", {"pre_tokenizer": None}
    yield "p-sequence-of-bert", {"pre_tokenizer": splitter_sequence(BERT_P)}
    yield "p-sequence-of-none", {"pre_tokenizer": splitter_sequence()}
    yield "p-whitespace", {"pre_tokenizer": n("Whitespace")}
    yield "p-whitespace-raw", {"normalizer": None, "pre_tokenizer": n("Whitespace")}
    yield "p-whitespace-split", {"pre_tokenizer": n("WhitespaceSplit")}
    for behavior in BEHAVIORS:
        yield "p-punctuation-" + behavior, {"pre_tokenizer": splitter_sequence(n("WhitespaceSplit"), n("Punctuation", behavior=behavior))}
        yield "p-punctuation-alone-" + behavior, {"pre_tokenizer": n("Punctuation", behavior=behavior)}
        yield "p-split-string-" + behavior, {"pre_tokenizer": split(behavior, String="-")}
        for invert in [True, False]:
            yield f"p-split-regex-{behavior}-{invert}", {"normalizer": None, "pre_tokenizer": split(behavior, invert, Regex=r"\w+|[^\w\s]")}
            yield f"p-split-space-{behavior}-{invert}", {"pre_tokenizer": split(behavior, invert, Regex=r"\s")}
    for i, pattern in enumerate([r"[\p{L}]+|\p{Nd}{1,3}|[^\s\p{L}\p{N}]+", r"\S+", r"[\W_]", r"\p{Han}", r"[^\P{L}]", r"\.|,|\?", r"[\d.,]*\d", r"..?"]):
        yield f"p-split-pattern-{i}", {"normalizer": n("NFC"), "pre_tokenizer": split("Isolated", Regex=pattern)}
    yield "p-digits", {"pre_tokenizer": splitter_sequence(n("Whitespace"), n("Digits", individual_digits=False))}
    yield "p-digits-individual", {"normalizer": None, "pre_tokenizer": splitter_sequence(BERT_P, n("Digits", individual_digits=True))}
    yield "p-delimiter", {"pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": "-"}}
    # Post-processors.
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", VOCAB["</s>"]], "cls": ["<s>", VOCAB["<s>"]], "trim_offsets": True, "add_prefix_space": True}
    yield "t-roberta", {"post_processor": roberta}
    yield "t-roberta-spaces", {"post_processor": roberta, "pre_tokenizer": None}
    yield "t-roberta-no-prefix", {"post_processor": {**roberta, "add_prefix_space": False}, "pre_tokenizer": split("MergedWithNext", String=" "),
                                  "added_tokens": [added("<mask>", lstrip=True, rstrip=True, special=True), added("[UNK]", special=True)]}
    yield "t-roberta-whole", {"post_processor": {**roberta, "trim_offsets": False}, "added_tokens": [added("<mask>", lstrip=True, special=True)]}
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 2}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {t: {"id": t, "ids": [VOCAB[t]], "tokens": [t]} for t in ["[CLS]", "[SEP]"]}}
    yield "t-template", {"post_processor": template}
    yield "t-none", {"post_processor": None}
    yield "t-sequence", {"post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, template]},
                         "pre_tokenizer": split("MergedWithPrevious", String=" ")}
    yield "t-sequence-of-bert", {"post_processor": {"type": "Sequence", "processors": [BERT_T]}}
    # Models.
    yield "m-word-level", {"model": {"type": "WordLevel", "unk_token": "[UNK]"}}
    yield "m-word-level-spaces", {"model": {"type": "WordLevel", "unk_token": "[UNK]"}, "normalizer": None, "pre_tokenizer": split("Isolated", Regex="[.,!?]")}
    yield "m-prefix-none", {"model": {**WORDPIECE, "continuing_subword_prefix": ""}}
    yield "m-prefix-at", {"model": {**WORDPIECE, "continuing_subword_prefix": "▁"}}
    yield "m-short", {"model": {**WORDPIECE, "max_input_chars_per_word": 3}}
    yield "m-unknown", {"model": {**WORDPIECE, "unk_token": "x"}}
    # Added tokens.
    flags = ["single_word", "lstrip", "rstrip", "normalized"]
    for i in range(16):
        on = {f: bool(i >> k & 1) for k, f in enumerate(flags)}
        yield f"a-{i}", {"added_tokens": [added("[MASK]", special=True), added("<ent>", **on), added("Cat", **on)], "normalizer": normalizer_sequence(n("NFKC"), n("Lowercase")) if i % 2 else BERT_N}
    yield "a-accent", {"added_tokens": [added("É", normalized=True, single_word=True), added("Ḍ̇", normalized=True)], "normalizer": normalizer_sequence(n("NFD"), n("StripAccents"), n("Lowercase"))}


def in_bytes(text, offsets):
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [x for a, b in offsets for x in (at[a], at[b])]


def record(t, text, pair=None):
    e = t.encode(text, pair) if pair is not None else t.encode(text)
    offsets = []
    for o, s in zip(e.offsets, e.sequence_ids):
        offsets += in_bytes(pair if s == 1 else text, [o])
    r = {"ids": e.ids, "offsets": offsets, "words": [-1 if w is None else w for w in e.word_ids]}
    if pair is not None:
        r["types"] = e.type_ids
    else:
        r["decoded"] = t.decode(e.ids)
    return r


def digest(strings):
    h = hashlib.sha256()
    for s in strings:
        h.update(s.encode() + b"\n")
    return h.hexdigest()


def main():
    out = {"source": "tokenizers " + tokenizers.__version__, "vocabulary": vocabulary(), "texts": TEXTS, "pairs": PAIRS, "pipelines": []}
    seen = {}
    for name, edit in pipelines():
        model = dict(edit.get("model", WORDPIECE))
        body = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
                "normalizer": edit.get("normalizer", BERT_N), "pre_tokenizer": edit.get("pre_tokenizer", BERT_P),
                "post_processor": edit.get("post_processor", BERT_T), "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}, "model": model}
        next_id = len(VOCAB)
        for a in edit.get("added_tokens", [added(t, special=True) for t in SPECIAL]):
            i = VOCAB.get(a["content"], next_id)
            next_id += i == next_id
            body["added_tokens"].append({"id": i, **a})
        whole = dict(body, model=dict(model, vocab=VOCAB))
        t = Tokenizer.from_str(json.dumps(whole))
        records = []
        for text in TEXTS:
            records.append(record(t, text))
        for pair in PAIRS:
            records.append(record(t, *pair))
        # Records that another pipeline has too are given by their number.
        numbers = []
        for r in records:
            key = json.dumps(r)
            numbers.append(seen.setdefault(key, len(seen)))
        out["pipelines"].append({"name": name, "file": {k: v for k, v in body.items() if k in edit or k == "added_tokens"}, "records": numbers})
    out["records"] = [json.loads(key) for key in seen]
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    forms = {}
    for kind in ["NFC", "NFD", "NFKC", "NFKD"]:
        form = getattr(normalizers, kind)()
        forms[kind] = digest(form.normalize_str(c) for c in points)
    strip, lower, nmt = normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Nmt()
    forms["StripAccents"] = digest(strip.normalize_str(c) for c in points)
    forms["Lowercase"] = digest(lower.normalize_str(c) for c in points)
    forms["Nmt"] = digest(nmt.normalize_str(c) for c in points)
    digits = pre_tokenizers.Digits(individual_digits=True)
    forms["Digits"] = digest(str(len(digits.pre_tokenize_str("ab" + c))) for c in points)
    for pattern in [r"\s", r"\w", r"\W", r"[\w]", r"[^\w]", r"[\W_]", r"[^\s\p{^N}]", r"\d", r"\p{L}", r"\p{Lu}", r"\p{M}", r"\p{N}", r"\p{P}", r"\p{S}", r"\p{Z}", r"\p{Cf}", r"\p{Mn}", r"\p{Han}", r"\p{Katakana}"]:
        r = normalizers.Replace(tokenizers.Regex(pattern), "")
        forms[pattern] = digest(r.normalize_str(c) for c in points)
    out["code_points"] = forms
    path = pathlib.Path(__file__).with_name("pipelines.json")
    with path.open("w") as f:
        f.write("{\n")
        for i, (k, v) in enumerate(out.items()):
            if isinstance(v, list) and k in ("pipelines", "records"):
                f.write(f"{json.dumps(k)}: [\n" + ",\n".join(json.dumps(x, separators=(",", ":")) for x in v) + "\n]")
            else:
                f.write(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}")
            f.write(",\n" if i < len(out) - 1 else "\n")
        f.write("}\n")


main()
