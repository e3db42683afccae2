"""Networks for text beside transformers and sentence-transformers.

python published.py PATH/TO/autodidact PATH/TO/examples/scores [--sentences FOLDER STSB]

makes randomly initialized networks in transformers, takes them over, and compares the vectors of texts (the mean of all
tokens); trains networks here for a few steps, exports them, loads them with transformers, which may miss nothing and find
nothing unexpected, and compares the scores of all symbols. With --sentences, a published network of
sentence-transformers and the test part of the STS benchmark (`sts-test.tsv.gz`): the vectors of its first 1,000 different
sentences, and the rank correlation of all pairs. Needs torch, transformers, sentence-transformers, numpy and scipy. Ends
with 1 if anything differs by more than 1e-4.
"""

import argparse
import csv
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, DistilBertConfig, GPT2Config, RobertaConfig

TEXT = [f"the {n % 3}rd fox sees the {n % 5}th hen, and the hen runs away from it" for n in range(200)]
TEXTS = ["the fox", "a hen runs away from the 4th fox, and it sees it", "away, away!"]
PLACES = 24
BOUND = 1e-4


def run(*command, cwd):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def report(what, found, expected):
    difference = float(np.abs(np.asarray(found) - np.asarray(expected)).max())
    print(f"{what}: largest difference {difference:.2e} (largest value {np.abs(expected).max():.2f})", flush=True)
    return difference


def write_texts(path, texts):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["text"], *[[text] for text in texts]])


def embed(program, network, texts, cwd):
    write_texts(cwd / "texts.csv", texts)
    out = run(program, "embed", network, "texts.csv", "--out", "ours.npy", cwd=cwd)
    return np.load(cwd / "ours.npy"), out


def word_pieces():
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=90, special_tokens=special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def byte_pairs(special, frame):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    if frame:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def foreign():
    """Networks of transformers: name, class, config, tokenizer."""
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    roberta = byte_pairs(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], True)
    gpt2 = byte_pairs(["<|endoftext|>"], False)
    pieces = word_pieces()
    size = pieces.get_vocab_size()
    bert = BertConfig(vocab_size=size, max_position_embeddings=PLACES, layer_norm_eps=1e-6, **sizes)
    yield "BertModel", bert, pieces
    yield "BertForMaskedLM", bert, pieces
    # A few symbols more than the tokenizer has, as for sizes that suit a GPU.
    padded = BertConfig(vocab_size=size + 7, max_position_embeddings=PLACES, hidden_act="gelu_new", **sizes)
    yield "BertForPreTraining", padded, pieces
    places = dict(max_position_embeddings=PLACES + 2, type_vocab_size=1, pad_token_id=1)
    yield "RobertaForMaskedLM", RobertaConfig(vocab_size=roberta.get_vocab_size(), **places, **sizes), roberta
    distil = DistilBertConfig(
        vocab_size=size, max_position_embeddings=PLACES, dim=32, n_layers=2, n_heads=4, hidden_dim=48
    )
    yield "DistilBertForMaskedLM", distil, pieces
    config = GPT2Config(vocab_size=gpt2.get_vocab_size(), n_positions=PLACES, n_embd=32, n_layer=2, n_head=4)
    config.bos_token_id = config.eos_token_id = 0
    yield "GPT2LMHeadModel", config, gpt2


@torch.no_grad()
def mean_tokens(model, ids):
    """The mean of all tokens of one text."""
    body = getattr(model, model.base_model_prefix, model)
    return body(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()


def take_over(program):
    worst = 0.0
    for name, config, tokenizer in foreign():
        with tempfile.TemporaryDirectory() as folder:
            here = pathlib.Path(folder)
            model = getattr(transformers, name)(config).eval()
            with torch.no_grad():
                for parameter in model.parameters():  # Biases of 0 and scales of 1 would hide a mix-up.
                    parameter.add_(0.1 * torch.randn_like(parameter))
            model.save_pretrained(here / "theirs")
            tokenizer.save(str(here / "theirs/tokenizer.json"))
            ours, _ = embed(program, "theirs", TEXTS, here)
            ids = [tokenizer.encode(text).ids for text in TEXTS]
            if name.startswith("GPT2"):  # Ours reads a text after the end of another.
                ids = [[0, *of] for of in ids]
            theirs = np.stack([mean_tokens(model, of) for of in ids])
            worst = max(worst, report(f"{name}, taken over", ours, theirs))
            run(program, "export", "theirs", "--format", "transformers", "--out", "back", cwd=here)
            back = load(here / "back")
            theirs = np.stack([mean_tokens(back, of) for of in ids])
            worst = max(worst, report(f"{name}, taken over and exported", ours, theirs))
    return worst


def load(folder):
    """An exported network, of the class that its config names; nothing may be missing or left over."""
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, about = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    strange = {key: value for key, value in about.items() if value}
    if strange:
        sys.exit(f"{name} loaded with {strange}")
    return model.eval()


def give_back(program, scores):
    worst = 0.0
    tiny = ["encoder.width=32", "encoder.depth=2", "encoder.heads=4", f"views.length={PLACES}", "data.validation=0.1"]
    for method, more in [("masked_lm", []), ("causal_lm", ["data.reading.tokenizer=bpe"]), ("simclr", [])]:
        with tempfile.TemporaryDirectory() as folder:
            here = pathlib.Path(folder)
            write_texts(here / "text.csv", TEXT)
            sets = [*tiny, *more, "data.reading.vocabulary=300"]
            run(
                program, "pretrain", "text.csv", "--method", method, "--steps", "40", "--batch-size", "8", "--out", "run",
                "--no-evaluate", *[part for one in sets for part in ("--set", one)], cwd=here,
            )  # fmt: skip
            run(program, "export", "run", "--format", "transformers", "--out", "out", cwd=here)
            model = load(here / "out")
            tokenizer = transformers.AutoTokenizer.from_pretrained(here / "out")
            for text in TEXTS:
                given = json.loads(run(scores, "run", text, cwd=here))
                ids = tokenizer(text)["input_ids"]
                assert ids == given["ids"], (ids, given["ids"])
                if method == "simclr":  # It has no head, so that there is nothing to compare but vectors.
                    continue
                with torch.no_grad():
                    theirs = model(input_ids=torch.tensor([ids])).logits[0].numpy()
                worst = max(worst, report(f"{method}, scores of {len(ids)} symbols", given["scores"], theirs))
            if method != "causal_lm":
                from sentence_transformers import SentenceTransformer

                theirs = SentenceTransformer(str(here / "out"), device="cpu").encode(TEXTS)
                ours, _ = embed(program, "run", TEXTS, here)
                worst = max(worst, report(f"{method}, vectors by sentence-transformers", ours, theirs))
    return worst


def vectors_alone(program):
    """A vector for each symbol and their mean: a folder that only sentence-transformers reads."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:
        here = pathlib.Path(folder)
        write_texts(here / "text.csv", TEXT)
        run(
            program, "pretrain", "text.csv", "--out", "run", "--no-evaluate", "--set", "data.reading.vocabulary=300",
            cwd=here,
        )  # fmt: skip
        run(program, "export", "run", "--format", "transformers", "--out", "out", cwd=here)
        theirs = SentenceTransformer(str(here / "out"), device="cpu").encode(TEXTS)
        ours, _ = embed(program, "run", TEXTS, here)
        return report("ppmi, vectors by sentence-transformers", ours, theirs)


def sentences(program, folder, stsb):
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    with gzip.open(stsb, "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    pairs = [(row[5], row[6], float(row[4])) for row in rows]
    different = list(dict.fromkeys(text for first, second, _ in pairs for text in (first, second)))
    model = SentenceTransformer(str(folder), device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        ours, out = embed(program, folder, different, here)
    print(out.strip())
    theirs = model.encode(different)
    worst = report("sentences, 1,000 vectors", ours[:1000], theirs[:1000])
    place = {text: number for number, text in enumerate(different)}
    labels = [score for *_, score in pairs]
    found = []
    for name, vectors in (("ours", ours), ("theirs", theirs)):
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = [vectors[place[first]] @ vectors[place[second]] for first, second, _ in pairs]
        found.append(spearmanr(cosines, labels).statistic)
        print(f"{name}: Spearman {found[-1]:.6f} over {len(pairs)} pairs")
    return max(worst, float(round(found[0], 3) != round(found[1], 3)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("scores", type=pathlib.Path)
    parser.add_argument("--sentences", nargs=2, type=pathlib.Path, metavar=("FOLDER", "STSB"))
    given = parser.parse_args()
    program, scores = given.program.resolve(), given.scores.resolve()
    torch.manual_seed(0)
    worst = max(take_over(program), give_back(program, scores), vectors_alone(program))
    if given.sentences:
        worst = max(worst, sentences(program, *[path.resolve() for path in given.sentences]))
    sys.exit(worst > BOUND)


main()
