#!/usr/bin/env python3
"""The procedure of google-research/bert's create_pretraining_data.py in plain Python, for comparison with bert instances.

It processes a text like that program, by the same means (lists of strings, a random.Random, one core): tokenization.py's
cleaning, splitting and WordPiece; pairs of segments; truncation one token at a time; masks; padded ids. It omits the parts that
need TensorFlow, encoding tf.Examples and writing them, so the result favours Python. Uncased.

    python3 bench/instances/procedure.py --vocab vocab.txt [--dupe-factor 10] text.txt
    GOMAXPROCS=1 taskset -c 0 bert instances --vocab vocab.txt --google --workers 1 --output out text.txt

It prints the tokens of the instances per second of processor time.
"""

import argparse
import json
import random
import time
import unicodedata


def is_space(c):
    return c in " \t\n\r" or unicodedata.category(c) == "Zs"


def is_dropped(c):
    return c in "\0\ufffd" or c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cf")


def is_punctuation(c):
    p = ord(c)
    return (33 <= p <= 47 or 58 <= p <= 64 or 91 <= p <= 96 or 123 <= p <= 126
            or unicodedata.category(c).startswith("P"))


IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
              (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def is_ideograph(c):
    p = ord(c)
    return any(low <= p <= high for low, high in IDEOGRAPHS)


def words(line):
    clean = "".join(" " if is_space(c) else c for c in line if not is_dropped(c))
    spaced = "".join(f" {c} " if is_ideograph(c) else c for c in clean)
    for word in spaced.split():
        word = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
        part = []
        for c in word:
            if not is_punctuation(c):
                part.append(c)
                continue
            if part:
                yield "".join(part)
                part = []
            yield c
        if part:
            yield "".join(part)


def pieces(word, vocab):
    if len(word) > 200:
        return ["[UNK]"]
    found, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start:
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in vocab:
                break
            end -= 1
        if end == start:
            return ["[UNK]"]
        found.append(piece)
        start = end
    return found


def read_documents(paths, vocab):
    documents = [[]]
    for path in paths:
        with open(path, encoding="utf-8", errors="ignore") as lines:
            for line in lines:
                line = line.strip()
                if not line:
                    documents.append([])
                    continue
                tokens = [p for w in words(line) for p in pieces(w, vocab)]
                if tokens:
                    documents[-1].append(tokens)
    return [d for d in documents if d]


def truncate(a, b, most, rng):
    while len(a) + len(b) > most:
        longer = a if len(a) > len(b) else b
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def mask(tokens, options, vocab_words, rng):
    candidates = []
    for i, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        if options.whole_word_mask and candidates and token.startswith("##"):
            candidates[-1].append(i)
        else:
            candidates.append([i])
    rng.shuffle(candidates)
    output = list(tokens)
    budget = min(options.max_predictions_per_seq, max(1, round(len(tokens) * options.masked_lm_prob)))
    masked = []
    for word in candidates:
        if len(masked) >= budget:
            break
        if len(masked) + len(word) > budget:
            continue
        for i in word:
            if rng.random() < 0.8:
                output[i] = "[MASK]"
            elif rng.random() >= 0.5:
                output[i] = vocab_words[rng.randint(0, len(vocab_words) - 1)]
            masked.append((i, tokens[i]))
    masked.sort()
    return output, [i for i, _ in masked], [token for _, token in masked]


def instances_of(documents, index, options, vocab_words, rng):
    document = documents[index]
    most = options.max_seq_length - 3
    target = most
    if rng.random() < options.short_seq_prob:
        target = rng.randint(2, most)
    chunk, length, i = [], 0, 0
    while i < len(document):
        chunk.append(document[i])
        length += len(document[i])
        if i == len(document) - 1 or length >= target:
            cut = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            a = [token for sentence in chunk[:cut] for token in sentence]
            b = []
            is_random = len(chunk) == 1 or rng.random() < 0.5
            if is_random:
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != index:
                        break
                start = rng.randint(0, len(documents[other]) - 1)
                for sentence in documents[other][start:]:
                    b.extend(sentence)
                    if len(b) >= target - len(a):
                        break
                i -= len(chunk) - cut
            else:
                b = [token for sentence in chunk[cut:] for token in sentence]
            truncate(a, b, most, rng)
            tokens = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
            segments = [0] * (len(a) + 2) + [1] * (len(b) + 1)
            yield (*mask(tokens, options, vocab_words, rng), segments, is_random)
            chunk, length = [], 0
        i += 1


def features(instance, options, vocab):
    tokens, positions, labels, segments, is_random = instance

    def padded(values, length):
        return values + [0] * (length - len(values))

    n, m = options.max_seq_length, options.max_predictions_per_seq
    return {
        "input_ids": padded([vocab[t] for t in tokens], n),
        "input_mask": padded([1] * len(tokens), n),
        "segment_ids": padded(segments, n),
        "masked_lm_positions": padded(positions, m),
        "masked_lm_ids": padded([vocab[t] for t in labels], m),
        "masked_lm_weights": padded([1.0] * len(labels), m),
        "next_sentence_labels": [int(is_random)],
    }


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--vocab", required=True)
    p.add_argument("--max-seq-length", type=int, default=128)
    p.add_argument("--max-predictions-per-seq", type=int, default=20)
    p.add_argument("--masked-lm-prob", type=float, default=0.15)
    p.add_argument("--short-seq-prob", type=float, default=0.1)
    p.add_argument("--dupe-factor", type=int, default=10)
    p.add_argument("--whole-word-mask", action="store_true")
    p.add_argument("--seed", type=int, default=12345)
    p.add_argument("text", nargs="+")
    options = p.parse_args()
    with open(options.vocab, encoding="utf-8") as lines:
        vocab = {token.strip(): i for i, token in enumerate(lines)}

    begin = time.process_time()
    rng = random.Random(options.seed)
    documents = read_documents(options.text, vocab)
    rng.shuffle(documents)
    read = time.process_time()
    vocab_words = list(vocab)
    made = []
    for _ in range(options.dupe_factor):
        for index in range(len(documents)):
            made.extend(instances_of(documents, index, options, vocab_words, rng))
    rng.shuffle(made)
    tokens = masked = randoms = 0
    for instance in made:
        f = features(instance, options, vocab)
        tokens += sum(f["input_mask"])
        masked += int(sum(f["masked_lm_weights"]))
        randoms += f["next_sentence_labels"][0]
    seconds = time.process_time() - begin
    print(json.dumps({
        "documents": len(documents), "text_tokens": sum(len(s) for d in documents for s in d), "instances": len(made),
        "tokens": tokens, "masked_share": masked / tokens, "random_next_share": randoms / len(made),
        "tokenizing_seconds": round(read - begin, 2), "seconds": round(seconds, 2), "tokens_per_second": round(tokens / seconds),
    }))


if __name__ == "__main__":
    main()
