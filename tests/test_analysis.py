"""``spectral-kernels analyze`` and ``compare`` on small models with random weights that read bytes."""

from __future__ import annotations

import functools
import importlib
import json
import os
import socket
import sys
import types
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

import spectral_kernels as sk
from spectral_kernels.api import analysis, cli
from spectral_kernels.api.analysis import models, texts
from spectral_kernels.api.progress import Progress

transformers = pytest.importorskip("transformers")
pytest.importorskip("vl_convert")

README = Path(__file__).parents[1] / "README.md"
LENGTH = 32


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny-gpt2"
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=256, n_embd=16, n_layer=2, n_head=2, n_positions=LENGTH, bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight *= 50  # heads that choose, as new ones do not
    model.save_pretrained(folder)
    return str(folder)


def settings(model, **changes):
    return analysis.Settings(model, **{"text": str(README), "length": LENGTH, "batch_size": 2, "max_tokens": 10 * LENGTH, "tokenizer": "bytes", **changes})


@pytest.fixture(scope="module")
def analyzed(gpt2, tmp_path_factory):
    out = tmp_path_factory.mktemp("analyzed")
    return out, analysis.analyze(settings(gpt2, init_baseline=True), out)


def test_the_spectra_are_those_of_the_model(gpt2, analyzed):
    out, study = analyzed
    run = sk.Run.load(out / "spectrum.npz")
    tokens = torch.tensor(list(README.read_bytes()[: 10 * LENGTH])).view(10, LENGTH)
    model = transformers.GPT2LMHeadModel.from_pretrained(gpt2).eval()
    with torch.no_grad(), sk.capture(model, buckets=(0, 8, 16)) as expected:
        for batch in tokens.split(2):
            model(batch)
    assert run.batches == 5 and [f"transformer.{name}" for name in run.spectra] == list(expected.spectra)
    assert all(s.equal(expected.spectra[f"transformer.{name}"]) for name, s in run.spectra.items())
    assert max(run.verify().values()) <= 1e-5
    assert study.length == LENGTH and study.subtitle == "320 tokens of README.md, in sequences of 32"


def test_the_folder_holds_table_page_and_baseline(analyzed):
    out, study = analyzed
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".parquet") == ["initial.npz", "report.html", "settings.json", "spectrum.csv", "spectrum.npz"]
    assert len((out / "spectrum.csv").read_text().splitlines()) == 1 + 4
    page = (out / "report.html").read_text()
    assert "uniform attention, 32 tokens" in page and "initialisation" in page
    initial = sk.Run.load(out / "initial.npz")
    assert initial.records.keys() == sk.Run.load(out / "spectrum.npz").records.keys()
    assert study.measures.holds < study.initial.measures.holds


def test_an_interrupted_analysis_goes_on(gpt2, analyzed, tmp_path, monkeypatch):
    calls, forward = [], transformers.GPT2Model.forward

    @functools.wraps(forward)
    def interrupted(self, *args, **kwargs):
        calls.append(kwargs["input_ids"])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(transformers.GPT2Model, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analysis.analyze(settings(gpt2), tmp_path, save_every=0)
    assert sk.Run.load(tmp_path / "partial" / "spectrum-0-of-1.npz").batches == 3
    analysis.analyze(settings(gpt2), tmp_path, save_every=0)
    assert len(calls) == 6 and not (tmp_path / "partial").exists()
    run, whole = (sk.Run.load(folder / "spectrum.npz") for folder in (tmp_path, analyzed[0]))
    assert [(r.name, r.positions, r.calls) for r in run.records.values()] == [(r.name, r.positions, r.calls) for r in whole.records.values()]
    assert all(s.equal(whole.spectra[name]) for name, s in run.spectra.items())
    analysis.analyze(settings(gpt2), tmp_path)
    assert len(calls) == 6, "a finished analysis only writes its report anew"
    with pytest.raises(ValueError, match="batch_size = 2 there and 3 here"):
        analysis.analyze(settings(gpt2, batch_size=3), tmp_path)


def worker(rank, port, model, out):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    analysis.analyze(settings(model), out)


def test_two_processes_share_the_batches(gpt2, analyzed, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, args=(port, gpt2, str(tmp_path)), nprocs=2)
    run, whole = (sk.Run.load(folder / "spectrum.npz") for folder in (tmp_path, analyzed[0]))
    assert run.batches == whole.batches == 5
    assert all(s.equal(whole.spectra[name]) for name, s in run.spectra.items())


def test_weights_stay_in_their_file(tmp_path):
    config = transformers.GPT2Config(vocab_size=256, n_embd=512, n_layer=6, n_head=8, n_positions=LENGTH)
    transformers.GPT2Model(config).save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size

    def anonymous():
        return next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))

    before = anonymous()
    model = models.trained(str(tmp_path), config, "auto", torch.device("cpu"), None)
    with torch.inference_mode():
        model(input_ids=torch.zeros(1, LENGTH, dtype=torch.long))
    assert size > 60e6 and anonymous() - before < size / 2


def test_the_command_line(gpt2, tmp_path, capsys):
    out = tmp_path / "out"
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"words": text}) + "\n" for text in ("The first document. " * 9, "The second one. " * 9)))
    given = ["--dataset", str(data), "--field", "words", "--length", "32", "--max-tokens", "200", "--tokenizer", "bytes", "--buckets", "0", "16", "--format", "safetensors"]
    assert cli.main(["analyze", gpt2, *given, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "tiny-gpt2: 192 tokens of data.jsonl" in printed and "Holds: " in printed and str(out / "report.html") in printed
    run = sk.Run.load(out / "spectrum.safetensors")
    assert run.buckets == (0, 16) and run.records["h.0.attn"].positions == 6 * 31
    assert cli.main(["compare", str(out), str(out / "spectrum.safetensors"), "--titles", "one", "two", "--out", str(tmp_path / "both")]) == 0
    assert "the median |λ| is" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"distances.csv", "report.html", "spectrum.csv"}


def test_transformers_has_its_own_models_beside_flash_linear_attention(tmp_path):
    """Which registers classes of its own for Mamba when it is imported."""
    importlib.import_module("fla.models")
    for config in (transformers.MambaConfig(), transformers.Mamba2Config()):
        config.save_pretrained(tmp_path)
        assert type(transformers.AutoConfig.from_pretrained(tmp_path)) is not type(config)
        assert type(models.configuration(str(tmp_path))) is type(config)


def test_the_commands_of_the_readme(tmp_path, monkeypatch):
    """With small models in folders of the names that it uses, and a tokenizer of bytes."""
    import tokenizers

    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(README.read_text()[:600])
    torch.manual_seed(0)
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    small = {
        "gpt2": transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2, **special)),
        "state-spaces/mamba-130m-hf": transformers.MambaForCausalLM(transformers.MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, state_size=2, **special)),
    }
    alphabet = {letter: i for i, letter in enumerate(["<end>", *sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())])}
    of_bytes = tokenizers.Tokenizer(tokenizers.models.BPE(alphabet, []))
    of_bytes.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for name, model in small.items():
        model.save_pretrained(name)
        transformers.PreTrainedTokenizerFast(tokenizer_object=of_bytes, eos_token="<end>").save_pretrained(name)
    commands = [line.split()[1:] for line in README.read_text().splitlines() if line.startswith(("spectral-kernels analyze ", "spectral-kernels compare "))]
    assert [command[0] for command in commands] == ["analyze", "analyze", "compare"]
    assert [cli.main(command) for command in commands] == [0, 0, 0]
    assert {page.parent.name for page in Path("runs").glob("*/report.html")} == {"gpt2", "mamba", "both"}


def test_errors_say_what_was_expected(gpt2, tmp_path, capsys):
    for arguments, said in [
        (["analyze", gpt2, "--text", str(README), "--length", "1"], "expected length >= 2, got 1"),
        (["analyze", gpt2, "--text", str(tmp_path / "none.txt"), "--tokenizer", "bytes"], "none.txt"),
        (["analyze", gpt2, "--text", str(README), "--tokenizer", "bytes", "--dtype", "int8"], "expected a dtype such as"),
        (["analyze", gpt2, "--text", str(README), "--tokenizer", "bytes", "--device-map", "auto"], "needs accelerate"),
        (["compare", str(tmp_path), str(tmp_path)], "expected the folder of an analysis"),
    ]:
        if "accelerate" in said and "accelerate" in sys.modules:
            continue
        with pytest.raises(SystemExit):
            cli.main([*arguments, "--out", str(tmp_path / said[:9].replace(" ", "-"))])
        assert said in capsys.readouterr().err
    with pytest.raises(ValueError, match="a text or a dataset"):
        analysis.Settings(gpt2)


def test_models_without_a_known_recurrence_are_refused(tmp_path):
    config = transformers.BertConfig(vocab_size=256, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=LENGTH)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="bert has no recurrence that is known"), pytest.warns(UserWarning):
        analysis.analyze(settings(str(tmp_path / "bert")), tmp_path / "out")


def test_batches_of_a_text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("abc\n" * 3)
    assert list(texts.text_file(file)) == ["abc\n" * 3]

    def cut(**given):
        return texts.batches(["ab", "cdefg"], lambda s: list(s.encode()), **{"length": 3, "batch_size": 2, "max_tokens": 99, "between": [], **given})

    assert [b.tolist() for b in cut(batch_size=1)] == [[[97, 98, 99]], [[100, 101, 102]]]
    assert [b.tolist() for b in cut(between=[0], max_tokens=5)] == [[[97, 98, 0]]]
    assert [b.tolist() for b in cut(length=100)] == [[list(b"abcdefg")]]
    with pytest.raises(ValueError, match="two tokens or more, got 1"):
        cut(max_tokens=1)
    with pytest.raises(ValueError, match="field 'text', got the fields words"):
        (tmp_path / "data.jsonl").write_text('{"words": "a"}\n')
        list(texts.dataset(str(tmp_path / "data.jsonl"), "text"))


def test_progress_in_lines(capsys):
    progress = Progress(2)
    for step in ("one", "two"):
        progress(step)
    counted = Progress()
    for done, total in ((0, 9), (0, 9), (1, 9), (8, 9), (0, 9), (3, 10)):
        counted("batch", done, total)
    counted.close()
    assert capsys.readouterr().err.splitlines() == ["[1/2] one", "[2/2] two", "[1/9] batch", "[1/9] batch", "[ 4/10] batch"]


def test_kernels_of_fla_give_way_on_a_cpu():
    def plain(x): ...

    def kernel(x): ...

    kernel.__module__ = "fla.ops.gated_delta_rule"

    def wrapper(implementation):
        @functools.wraps(plain)
        def wrapped(x):
            return implementation(x)

        return wrapped

    assert models._replaced(wrapper(kernel)) is plain
    assert models._replaced(wrapper(plain)) is None and models._replaced(plain) is None and models._replaced(types) is None
