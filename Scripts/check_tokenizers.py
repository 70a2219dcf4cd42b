"""The Python side of Scripts/check-tokenizers, which says what it does."""

import argparse
import glob
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FIXTURES = "Tests/TokenizersTests/Fixtures"


# Tokenizers of each kind.


def alphabet():
    return pre_tokenizers.ByteLevel.alphabet()


def gpt2(texts, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return trained(tokenizer, texts, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet(), special_tokens=["<|endoftext|>"], show_progress=False))


def roberta(texts, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trained(tokenizer, texts, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet(), special_tokens=["<s>", "</s>"], show_progress=False))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def llama3(texts, size):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trained(tokenizer, texts, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet(), special_tokens=["<|begin_of_text|>", "<|eot_id|>"],
        show_progress=False))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing("<|begin_of_text|> $A", "<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      [("<|begin_of_text|>", 0)])])
    return tokenizer


def llama2(texts, size):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    # Without words a text would be one word; training alone has them.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trained(tokenizer, texts, trainers.BpeTrainer(
        vocab_size=size, limit_alphabet=70, special_tokens=special, show_progress=False))
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    return edited(tokenizer, lambda file: file.update(
        pre_tokenizer=None, added_tokens=[token for token in file["added_tokens"] if token["id"] < 3]))


def words_bpe(texts, size):
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.BPEDecoder()
    return trained(tokenizer, texts, trainers.BpeTrainer(
        vocab_size=size, end_of_word_suffix="</w>", special_tokens=["[UNK]"], limit_alphabet=60, show_progress=False))


def prefix_bpe(texts, size):
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Nmt()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous")])
    return trained(tokenizer, texts, trainers.BpeTrainer(
        vocab_size=size, continuing_subword_prefix="##", special_tokens=["[UNK]"], limit_alphabet=60, show_progress=False))


def bert(texts, size):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trained(tokenizer, texts, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # In lowercase: the package decodes such tokens as the normalizer writes them.
    tokenizer.add_tokens([AddedToken("zoo", single_word=True), AddedToken("straße", rstrip=True)])
    return tokenizer


def unigram(texts, size):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trained(tokenizer, texts, trainers.UnigramTrainer(
        vocab_size=size, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    return tokenizer


def unigram_bytes(texts, size):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    trained(tokenizer, texts, trainers.UnigramTrainer(
        vocab_size=size, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False))

    def with_bytes(file):
        model = file["model"]
        model["byte_fallback"] = True
        model["vocab"] = model["vocab"][:1] + [["<0x%02X>" % byte, 0.0] for byte in range(256)] + model["vocab"][1:]
    return edited(tokenizer, with_bytes)


def word_level(texts, size):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "removed", invert=True),
        pre_tokenizers.Split(",", "merged_with_previous"), pre_tokenizers.Split(Regex(r"\d"), "merged_with_next")])
    return trained(tokenizer, texts, trainers.WordLevelTrainer(
        vocab_size=size, special_tokens=["[UNK]"], show_progress=False))


def trained(tokenizer, texts, trainer):
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def edited(tokenizer, change):
    file = json.loads(tokenizer.to_str())
    change(file)
    return Tokenizer.from_str(json.dumps(file))


KINDS = [gpt2, roberta, llama3, llama2, words_bpe, prefix_bpe, bert, unigram, unigram_bytes, word_level]

# Texts.

SCRIPTS = """\
The quick brown fox doesn't jump over 1234567 lazy dogs; they'll sleep, I'm told. IT'S 'sO, WE'VE 3.14 €.
Zwölf Boxkämpfer jagen Viktor quer über den Straße genannten Sylter Deich. Zoo Zoos Zoo. Œuvre naïve, café, cafe\u0301.
Съешь же ещё этих мягких французских булок. Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.
いろはにほへと ちりぬるを。カタカナ、漢字。 天地玄黃宇宙洪荒。 다람쥐 헌 쳇바퀴에 타고파.
نص حكيم له سر قاطع. דג סקרן שט בים. ऋषियों को सताने वाले। นายสังฆภัณฑ์ เฮงพิทักษ์ฝั่ง
😀👩‍👩‍👧‍👦🏳️‍🌈👍🏽 ½ ² Ⅷ ٣ ๓ ﬁ ﷺ ℌ Å Å ｆｕｌｌ ſ 'ſ İ ǅ ß ẞ  <|endoftext|> <s> </s>   <mask>  [MASK] <|eot_id|>x
\ttabs\t\tand   spaces  \r\n\r\n  \n next\u00a0no\u2003em\u3000wide\u200bzero\ufeffbom\x00nul\x01\x1f\x7f\x85\x9f\ufffd\ue000
#include <stdio.h>\nint main(void) { return 0; }  // ____ ==== ---- .... ,,, 'tis isn't' "quoted"
"""


def long_words():
    yield "a" * 30000
    yield "ab" * 20000 + " " + "é" * 5000
    yield "漢" * 5000 + "1" * 5000 + "!" * 5000
    yield " " * 10000 + "x" + "\n" * 3000 + "\t " * 2000 + "y"
    yield "".join(random.Random(1).choice("abcdefghijklmnopqrstuvwxyz") for _ in range(30000))


def each_character():
    """Each character but ideographs and syllables, which are alike, within a word and by itself."""
    for code in range(0x110000):
        character = chr(code)
        # Foundation does not compose e and U+0301 around these, whose forms begin with a mark.
        if unicodedata.category(character) in ("Cn", "Cs", "Co") or character in "\u0f73\u0f75\u0f81\uff9e\uff9f":
            continue
        if unicodedata.name(character, "").startswith(("CJK UNIFIED", "HANGUL SYLLABLE", "TANGUT IDEO", "YI SYL", "EGYPTIAN")):
            continue
        yield f"a{character}b {character} e{character}\u0301"


def random_strings(count, texts, seed):
    """Strings of pieces of the texts, of characters of all scripts, and of what tokenizers treat in some way of their own."""
    generator = random.Random(seed)
    # Characters later than Python's Unicode are classified by libraries of different age.
    scalars = [c for c in range(0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    marks = list(" \t\n\r'.,!?-_0123456789<>[]#▁ĠĀàé'sSſ") + [
        "  ", "\r\n", "'ll", "'RE", "<s>", "</s>", "<mask>", "<|endoftext|>", "<|eot_id|>", "[MASK]", "Zoo", "straße", "<0x41>",
        "Straße", "▁▁", "##", "</w>", "<unk>", "\u0301", "\u200d", "\u00a0", "\u3000"]
    for _ in range(count):
        parts = []
        for _ in range(generator.randrange(12)):
            kind = generator.random()
            if kind < 0.35:
                text = generator.choice(texts)
                start = generator.randrange(len(text))
                parts.append(text[start:start + generator.randrange(1, 12)])
            elif kind < 0.75:
                parts.append(generator.choice(marks))
            elif kind < 0.85:
                parts.append(chr(generator.choice(scalars)))
            else:
                parts.append(chr(generator.randrange(0x250)))
        yield "".join(parts)


# Comparison.


def records(items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def read_records(path, scale):
    with open(path, "rb") as file:
        data = file.read()
    position = 0
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position)
        yield data[position + 4:position + 4 + scale * length]
        position += 4 + scale * length


def compare(tool, name, tokenizer, texts, folder):
    """Prints how many of the texts agree, with the first that does not; returns whether all do."""
    path = os.path.join(folder, name + ".json")
    tokenizer.save(path)
    with open(os.path.join(folder, "texts"), "wb") as file:
        file.write(records([text.encode() for text in texts]))
    paths = [os.path.join(folder, part) for part in ("texts", "tokens", "decoded")]
    subprocess.run([tool, "encode", path] + paths, check=True)
    ours = [list(struct.unpack("<%dI" % (len(item) // 4), item)) for item in read_records(paths[1], 4)]
    decoded = [item.decode() for item in read_records(paths[2], 1)]
    theirs = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    wrong = [i for i in range(len(texts)) if ours[i] != theirs[i]]
    unread = [i for i in range(len(texts)) if ours[i] == theirs[i] and decoded[i] != tokenizer.decode(theirs[i])]
    print(f"{name}: {len(texts)} texts, {sum(map(len, theirs))} tokens; {len(wrong)} encoded otherwise,"
          f" {len(unread)} decoded otherwise", flush=True)
    for i in sorted(wrong, key=lambda i: len(texts[i]))[:3]:
        at = next((k for k, (a, b) in enumerate(zip(ours[i], theirs[i])) if a != b), min(len(ours[i]), len(theirs[i])))
        print("  encoded:", ascii(texts[i][:200]), "token", at, "ours",
              [tokenizer.id_to_token(t) for t in ours[i][at:at + 6]], "theirs",
              [tokenizer.id_to_token(t) for t in theirs[i][at:at + 6]])
    for i in sorted(unread, key=lambda i: len(texts[i]))[:3]:
        print("  decoded:", ascii(texts[i][:80]), "ours", ascii(decoded[i][:80]), "theirs",
              ascii(tokenizer.decode(theirs[i])[:80]))
    return not wrong and not unread


def same_merges(tool, path, size, folder):
    """Compares what both learn from a text."""
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        text = file.read()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained(tokenizer, [text], trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet(), show_progress=False))
    source, learned = os.path.join(folder, "text"), os.path.join(folder, "learned.json")
    with open(source, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    subprocess.run([tool, "train", source, str(size), learned], check=True)
    theirs = json.loads(tokenizer.to_str())["model"]
    with open(learned) as file:
        ours = json.load(file)["model"]
    equal = ours["vocab"] == theirs["vocab"] and ours["merges"] == [list(pair) for pair in theirs["merges"]]
    # What is written here is read there.
    equal = equal and Tokenizer.from_file(learned).encode(text[:5000]).ids == tokenizer.encode(text[:5000]).ids
    print(f"merges of {path}: {len(ours['merges'])}, {'the same' if equal else 'not the same'}", flush=True)
    return equal


def speed(tool, path, text, folder):
    tokenizer = Tokenizer.from_file(path)
    start = time.perf_counter()
    tokenizer.encode(text)
    theirs = len(text.encode()) / 1e6 / (time.perf_counter() - start)
    source = os.path.join(folder, "timed")
    with open(source, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    ours = subprocess.run([tool, "time", path, source], check=True, capture_output=True, text=True).stdout
    print(f"speed, {os.path.basename(path)}: Python {theirs:.1f} MB/s; {'; '.join(ours.split(chr(10))).strip('; ')}")


def check(tool, paths, count):
    paths = paths or sorted(glob.glob("../shared/data/*.txt"))
    if not paths:
        print("Scripts/check-tokenizers: no texts are given and ../shared/data has none: generated ones only")
    texts = [open(path, encoding="utf-8", errors="replace", newline="").read() for path in paths] + [SCRIPTS]
    corpus = [text[:300000] for text in texts] + [SCRIPTS] * 3
    cases = texts + list(long_words()) + list(each_character()) + list(random_strings(count, texts, seed=26))
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            good &= compare(tool, kind.__name__, kind(corpus, 2000), cases, folder)
        for path in paths:
            good &= same_merges(tool, path, 8000, folder)
        for kind in ("gpt2", "llama3", "llama2", "bert", "unigram"):
            speed(tool, os.path.join(folder, kind + ".json"), texts[0], folder)
    return good


# Fixtures.


def write_fixtures():
    generator = random.Random(5)
    lines = [line for line in SCRIPTS.split("\n") if line]
    corpus = [SCRIPTS] * 4 + [" ".join(generator.sample(SCRIPTS.split(" "), 60)) for _ in range(200)]
    texts = ["", " ", SCRIPTS] + lines + list(random_strings(150, [SCRIPTS], seed=7))
    write("texts.json", texts)
    for kind in KINDS:
        tokenizer = kind(corpus, 700)
        name = kind.__name__
        tokenizer.save(os.path.join(FIXTURES, f"{name}.tokenizer.json"), pretty=False)
        tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        write(f"{name}.expected.json", {"tokens": tokens, "decoded": [tokenizer.decode(ids) for ids in tokens]})
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained(learned, [SCRIPTS * 2], trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet(), show_progress=False))
    write("learned.json", {"merges": json.loads(learned.to_str())["model"]["merges"]})


def write(name, value):
    with open(os.path.join(FIXTURES, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(prog="Scripts/check-tokenizers")
    parser.add_argument("tool")
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--strings", type=int, default=100000)
    parser.add_argument("--fixtures", action="store_true")
    options = parser.parse_intermixed_args()
    if options.fixtures:
        write_fixtures()
    elif not check(options.tool, options.texts, options.strings):
        sys.exit(1)


if __name__ == "__main__":
    main()
