"""Writes tokenizers.json: small vocabularies of every supported kind, and what other implementations make of texts.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3 regex==2026.11.15
    /tmp/venv/bin/python tests/vectors/make_tokenizers.py

Byte-level BPE: Hugging Face's tokenizers, whose regular expressions Oniguruma runs, and a naive one in this file that
runs Python's `regex`; they must agree. SentencePiece: Google's library. Training is not deterministic between versions
of the libraries, so a new run may write other vocabularies.

check_tokenizers.py holds the result against llama.cpp.
"""

import io
import json
import pathlib
import struct

import regex
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
TALES = HERE.parents[1] / "models/heldout.txt"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

TEXTS = [
    "",
    " ",
    "   ",
    "a",
    " a",
    "Hello, world!",
    "Long ago, there lived a bold young cow named Tom.",
    "I'm sure they've said we'll go; it's Tom's, isn't it? I'd do.",
    "I'M SURE THEY'VE SAID WE'LL GO; IT'S TOM'S. 'Re 'vE 'Ll 'sa 'Tis",
    "long s: it'\u017f",
    "1 12 123 1234 12345 1234567890 3.14159 1,000,000 v2.0-rc1",
    "\u0661\u0662\u0663 \u00bd \u2167 x\u00b2 \u0967\u0968",
    "tabs\there\t\tand  two   three    spaces \t mixed \t",
    "line\nline\n\nline\n\n\n  indented\n\tcode {\n    x = 1;\n}\n",
    "dos\r\nlines\r\n\r\nold\rmac\r\r \r\n x",
    " leading and trailing  ",
    "\n",
    "\n\n \n",
    "x\n ",
    "x \n",
    "...!!!???;;;--==//\\\\ ##@@ \"quoted\" (a) [b] {c} <d> $5 ^_^ ~|~ `t`",
    "end.\n\nNext/\n//comment/*x*/\r\n",
    "na\u00efve caf\u00e9 \u00dcber stra\u00dfe \u00c6sir \u0152uvre \u0130stanbul",
    "e\u0301 cafe\u0301 a\u0308\u0323 x\u0301\u0302\u0303 \u0301alone",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u042d\u0442\u043e \u0441\u0442\u0440\u043e\u043a\u0430.",
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002\u4f60\u597d\uff0c\u4e16\u754c\uff01\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f600\U0001f680 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f\U0001f44d\U0001f3fd!",
    "nbsp\u00a0x\u00a0\u00a0y em\u2003z line\u2028para\u2029nel\u0085end \u3000ideographic zero\u200bwidth bom\ufeff",
    "controls \u0000\u0001\u0007\u001b[0m\u007f\u0080\u009f \u001c\u001d\u001e\u001f end",
    "\ufffd \ufffe \uffff \U0010ffff \ue000 \U0001d538\U00020000",
    "CamelCaseWords XMLHttpRequest iPhone ABCdef \u01c5 \u00aaB \u02b0Ab\u4e2dC",
    "https://example.com/a?b=c&d=%20e#f user@mail.org",
    "Donaudampfschifffahrtsgesellschaftskapit\u00e4nsm\u00fctzenabzeichen" * 3,
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + " " * 40 + "b",
    "\u2581under\u2581line a\u2581",
    "<0x41> <s> </s> <unk> <0x0A>",
    "<|begin|>Hi<|end|>\n<|begin|> there<|end|><|end|>",
    "<|end|> <tool>x</tool><tool> <|begin <|end|",
    "zebraword Zebraword zebra",
]

# What the byte-level kinds cut at, as the tokenizer.json files of the models say; `default` is llama.cpp's.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEFAULT = [
    r"[\p{P}\$\+<=>\^\~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
]
# Name: regular expressions, one after the other; whether whole words skip the merges.
PRE = {
    "gpt-2": ([GPT2], False),
    "smollm": ([r"\p{N}", GPT2], False),
    "llama-bpe": ([WORDS % "{1,3}"], True),
    "qwen2": ([WORDS % ""], False),
    "deepseek-r1-qwen": ([WORDS % ""], False),
    "tekken": ([TEKKEN], True),
    "default": (DEFAULT, False),
}


def corpus():
    """Tales, and the texts above often enough that their odd places merge too."""
    tales = TALES.read_text()[:60_000]
    return tales.replace("<|", "").replace("|>", "").split("\n") + [text for text in TEXTS if "<|" not in text] * 4


# ---------------------------------------------------------------------------------------------------- byte-level BPE


def train_bpe():
    """Trained without any cutting, so that merges reach across every place where a kind must cut."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    lines = [line[i : i + 60] for line in corpus() for i in range(0, len(line), 60)]
    trainer = trainers.BpeTrainer(vocab_size=1400, initial_alphabet=alphabet, max_token_length=12, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    # Whole words that no merge makes, for the kinds that skip merges.
    tokens += ["zebraword", "\u0120Zebraword"]
    return tokens, [tuple(pair) for pair in model["merges"]]


def hugging_face(pre, tokens, merges, special):
    patterns, ignore_merges = PRE[pre]
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    cuts.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    for text, control in special:
        assert tokenizer.add_tokens([AddedToken(text, special=control, normalized=False)]) == 1
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def byte_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, others = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(0x100 + others)
            others += 1
    return table


def naive(pre, tokens, merges, special):
    """The definition: cut, then join the pair of the lowest rank again and again."""
    patterns, ignore_merges = PRE[pre]
    ids = {token: i for i, token in enumerate(tokens)}
    ranks = {pair: i for i, pair in enumerate(merges)}
    alphabet = byte_alphabet()
    names = {name: len(tokens) + i for i, (name, _) in enumerate(special)}
    split = regex.compile("|".join(sorted(map(regex.escape, names), key=len, reverse=True)) or "(?!)")

    def cut(parts, pattern):
        for part in parts:
            end = 0
            for match in regex.finditer(pattern, part):
                yield from (piece for piece in (part[end : match.start()], match[0]) if piece)
                end = match.end()
            if part[end:]:
                yield part[end:]

    def word(text):
        parts = [alphabet[byte] for byte in text.encode()]
        if ignore_merges and "".join(parts) in ids:
            return [ids["".join(parts)]]
        while True:
            best = min(range(len(parts) - 1), key=lambda i: ranks.get((parts[i], parts[i + 1]), 1 << 30), default=None)
            if best is None or (parts[best], parts[best + 1]) not in ranks:
                return [ids[part] for part in parts]
            parts[best : best + 2] = [parts[best] + parts[best + 1]]

    def plain(text):
        parts = [text] if text else []
        for pattern in patterns:
            parts = list(cut(parts, pattern))
        return [one for part in parts for one in word(part)]

    def encode(text):
        out, end = [], 0
        for match in split.finditer(text):
            out += [*plain(text[end : match.start()]), names[match[0]]]
            end = match.end()
        return out + plain(text[end:])

    return encode


def both(pre, tokens, merges, special):
    one, other = hugging_face(pre, tokens, merges, special), naive(pre, tokens, merges, special)

    def encode(text):
        ids = one(text)
        assert ids == other(text), (pre, text, ids, other(text))
        return ids

    return encode


def bpe_cases():
    tokens, merges = train_bpe()
    control, user = ["<|begin|>", "<|end|>"], ["<tool>", "</tool>"]
    vocabulary = {
        "model": "gpt2",
        "tokens": tokens + user + control,
        "kinds": [NORMAL] * len(tokens) + [USER_DEFINED] * 2 + [CONTROL] * 2,
        "merges": [" ".join(pair) for pair in merges],
    }
    special = [(text, False) for text in user]
    encoders = {}
    for pre in PRE:
        plain = both(pre, tokens, merges, special)
        parsed = both(pre, tokens, merges, special + [(text, True) for text in control])
        encoders[pre] = (plain, parsed)
    return vocabulary, encoders


# ----------------------------------------------------------------------------------------------------- SentencePiece


def train_spm(prefix, user):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in corpus() if "\0" not in line]),
        model_writer=out,
        model_type="bpe",
        vocab_size=1100,
        character_coverage=0.995,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        add_dummy_prefix=prefix,
        user_defined_symbols=user,
        control_symbols=["<turn>"],
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())


def spm_case(prefix, user):
    model = train_spm(prefix, user)
    kinds = []
    for i in range(len(model)):
        kind = NORMAL
        if model.is_unknown(i):
            kind = UNKNOWN
        elif model.is_control(i):
            kind = CONTROL
        elif model.is_byte(i):
            kind = BYTE
        elif model.id_to_piece(i) in user:
            kind = USER_DEFINED
        kinds.append(kind)
    # The converters of model files write user-defined tokens with plain spaces.
    spell = lambda i: model.id_to_piece(i).replace("\u2581", " ") if kinds[i] == USER_DEFINED else model.id_to_piece(i)
    score = lambda i: struct.unpack("<I", struct.pack("<f", model.get_score(i)))[0]
    vocabulary = {
        "model": "llama",
        "tokens": [spell(i) for i in range(len(model))],
        "kinds": kinds,
        # Bits of singles.
        "scores": [score(i) for i in range(len(model))],
        "add_space_prefix": prefix,
    }
    return vocabulary, lambda text: model.encode(text)


def main():
    bpe, encoders = bpe_cases()
    cases = []
    for pre, (plain, parsed) in encoders.items():
        ids = [plain(text) for text in TEXTS]
        special = {i: parsed(text) for i, text in enumerate(TEXTS) if parsed(text) != ids[i]}
        cases.append({"name": pre, "vocabulary": "bpe", "pre": pre, "ids": ids, "special": special})
    llama, encode = spm_case(True, [])
    cases.append({"name": "llama", "vocabulary": "llama", "ids": [encode(text) for text in TEXTS], "special": {}})
    runs = ["\u2581" * n for n in range(2, 17)] + ["\n" * n for n in range(1, 9)] + ["<tool>", "</tool>"]
    gemma, encode = spm_case(False, runs)
    cases.append({"name": "gemma", "vocabulary": "gemma", "ids": [encode(text) for text in TEXTS], "special": {}})
    whole = {"texts": TEXTS, "vocabularies": {"bpe": bpe, "llama": llama, "gemma": gemma}, "cases": cases}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=True)
    text = text.replace('{"name"', '\n{"name"').replace('"vocabularies"', '\n"vocabularies"')
    (HERE / "tokenizers.json").write_text(text + "\n")
    print(len(text), "bytes,", len(cases), "cases of", len(TEXTS), "texts")


if __name__ == "__main__":
    main()
