"""What the numbers say, in plain language."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from spectral_kernels.api.report.heads import Head
from spectral_kernels.api.report.measures import FORGETS, HOLDS, measure
from spectral_kernels.api.report.study import Study, merged

_NAMED = 3  # heads or layers named before "and ... more"


def percent(share: float) -> str:
    """With a space that does not break.

    >>> [percent(share).replace("\\xa0", " ") for share in (0.5, 0.0004, 0.9996, 1.0, 0.0)]
    ['50 %', '< 0.1 %', '> 99.9 %', '100 %', '0 %']
    """
    if 0 < share < 0.001:
        return "< 0.1\xa0%"
    if 0.999 < share < 1:
        return "> 99.9\xa0%"
    return f"{100 * share:.0f}\xa0%" if share in (0, 1) or 0.095 <= share <= 0.995 else f"{100 * share:.1f}\xa0%"


def number(x: float) -> str:
    """
    >>> number(3041.7), number(1.2345), number(0.99951)
    ('3042', '1.23', '0.9995')
    """
    return f"{x:.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.4g}" if 0.99 < x < 1.01 else f"{x:.3g}"


def tokens(horizon: float) -> str:
    """
    >>> tokens(0.21), tokens(12.34), tokens(4321.0), tokens(float("inf"))
    ('0.2 tokens', '12 tokens', '4300 tokens', 'no end')
    """
    if math.isinf(horizon):
        return "no end"
    if horizon < 9.95:
        return f"{horizon:.1f} tokens"
    digits = len(str(int(horizon)))
    return f"{round(horizon, 2 - digits):.0f} tokens"


def large(count: int) -> str:
    """
    >>> large(950), large(12345), large(3400000), large(7 * 10**9)
    ('950', '12 k', '3.4 M', '7 G')
    """
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            value = count / unit
            return (f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:.0f}") + f" {letter}"
    return str(count)


def spans(numbers: Iterable[int]) -> str:
    """
    >>> spans([0, 1, 2, 5, 7, 8])
    '0-2, 5, 7-8'
    """
    found: list[list[int]] = []
    for n in sorted(set(numbers)):
        if found and n == found[-1][-1] + 1:
            found[-1].append(n)
        else:
            found.append([n])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found)


def _named(heads: Sequence[Head], single: bool) -> str:
    """Where the heads are, the first few of them."""
    if single:
        return f"layer{'s' if len(heads) > 1 else ''} {spans(h.layer for h in heads)}"
    by_layer: dict[int, list[int]] = {}
    for h in heads:
        by_layer.setdefault(h.layer, []).append(h.head)
    if len(by_layer) > _NAMED + 1:
        most = sorted(by_layer, key=lambda layer: -len(by_layer[layer]))[:_NAMED]
        return "most in layers " + ", ".join(f"{layer} ({len(by_layer[layer])})" for layer in most)
    return "; ".join(f"layer {layer}, head{'s' if len(of) > 1 else ''} {spans(of)}" for layer, of in by_layer.items())


class Summary:
    """Sentences about one study; each is a pair of a catchword and a sentence.

    >>> import torch, spectral_kernels as sk
    >>> study = Study.of({"a": sk.Spectrum((1,)).update(torch.full((9, 1, 1), 0.2)), "b": sk.Spectrum((1,)).update(torch.full((9, 1, 1), 0.99))}, "two")
    >>> for word, sentence in Summary(study).sentences(): print(f"{word}: {sentence}")
    Holds: 1 of 2 layers keeps what it has read: most of its |λ| lie between 0.9 and 1 (layer 1). Its median horizon is 99 tokens.
    Forgets: 1 of 2 layers forgets at once: most of its |λ| lie below 0.5 (layer 0).
    Stable: no |λ| exceeds 1; the largest is 0.99.
    Turns: nothing: all eigenvalues are real and positive.
    Depth: the median |λ| rises from 0.2 in the first layer to 0.99 in the last; it is highest in layer 1.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.heads = study, [h for h in study.heads if h.count]
        self.single, self.whole = study.single, study.measures

    @property
    def thing(self) -> str:
        return "layer" if self.single else "head"

    def facts(self) -> list[tuple[str, str]]:
        """Numbers to stand in large type: value and what it is."""
        lower, median, upper = self.whole.quartiles.tolist()
        count = int(self.whole.count)
        found = [(large(count), "eigenvalues"), (f"{len(self.study.layers)}", "layers")]
        if not self.single:
            found.append((f"{len(self.heads)}", "heads"))
        found += [(f"{number(median)}", f"median |λ|, quartiles {lower:.2g} and {upper:.2g}"), (percent(float(self.whole.holds)), f"hold: |λ| from {HOLDS} to 1")]
        return found

    def sentences(self) -> list[tuple[str, str]]:
        of_values = [self._holds, self._forgets, self._growth, self._turns, self._depth, self._position, self._null, self._trained]
        tests: list[Callable[[], tuple[str, str] | None]] = [*(of_values if self.heads else []), self._broken]
        return [found for test in tests if (found := test()) is not None]

    def _among(self, verdict: str, acts: tuple[str, str]) -> tuple[list[Head], str]:
        """The heads of a verdict, and ``3 of 12 heads forget``."""
        found = [h for h in self.heads if h.verdict == verdict]
        return found, f"{self._count(found)} {acts[0 if len(found) == 1 else 1]}"

    def _count(self, found: Sequence[Head]) -> str:
        total = len(self.heads)
        if len(found) < total:
            return f"{len(found)} of {total} {self.thing}s"
        return {1: f"the {self.thing}", 2: f"both {self.thing}s"}.get(total, f"all {total} {self.thing}s")

    def _holds(self) -> tuple[str, str] | None:
        found, who = self._among("holds", ("keeps what it has read", "keep what they have read"))
        if not found:
            longest = max(self.heads, key=lambda h: h.median)
            return "Holds", f"no {self.thing} has most of its |λ| between {HOLDS} and 1; the closest is layer {longest.layer}" + (
                "." if self.single else f", head {longest.head}."
            )
        one = len(found) == 1
        where = "" if len(found) == len(self.heads) else f" ({_named(found, self.single)})"
        middle = sorted(h.horizon for h in found)[len(found) // 2]
        text = f"{who}: most of {'its' if one else 'their'} |λ| lie between {HOLDS} and 1{where}. {'Its' if one else 'Their'} median horizon is {tokens(middle)}."
        return "Holds", text

    def _forgets(self) -> tuple[str, str] | None:
        found, who = self._among("forgets", ("forgets at once", "forget at once"))
        if found:
            return "Forgets", f"{who}: most of {'its' if len(found) == 1 else 'their'} |λ| lie below {FORGETS} ({_named(found, self.single)})."
        return "Forgets", f"no {self.thing} forgets at once; of all eigenvalues {percent(float(self.whole.forgets))} lie below {FORGETS}."

    def _growth(self) -> tuple[str, str] | None:
        share, largest = float(self.whole.grows), float(self.whole.largest)
        normalised = [h for h in self.heads if h.gauge == "normalised"]
        unstable = [h for h in self.heads if h.unstable]
        if share == 0:
            return "Stable", f"no |λ| exceeds 1{'' if largest <= 1 else ' by more than rounding'}; the largest is {number(largest)}."
        if unstable:
            peak = max(unstable, key=lambda h: h.largest)
            part = sum(h.grows * h.count for h in unstable) / sum(h.count for h in unstable)
            where = f"layer {peak.layer}" if self.single else peak.label
            of = f"{percent(part)} of the eigenvalues of {_named(unstable, self.single)}"
            return "Unstable", f"{of} exceed 1: there the state grows for a while. The largest is {number(largest)} ({where})."
        if len(normalised) == len(self.heads):
            return "Grows", (
                f"{percent(share)} of |λ| exceed 1, the largest is {number(largest)}. Under a normaliser that is no instability: the query turned away from what it had "
                f"attended to, and the mean of ln|λ| stays near 0 ({float(self.study.whole.mean_log):.3f})."
            )
        return "Grows", f"{percent(share)} of |λ| exceed 1; the largest is {number(largest)}."

    def _turns(self) -> tuple[str, str] | None:
        found = [h for h in self.heads if h.oscillates]
        turning, negative = float(self.whole.turns), float(self.whole.negative)
        if not found:
            if float(self.whole.phases[0]) == 1:
                return "Turns", "nothing: all eigenvalues are real and positive."
            return "Turns", f"little: {percent(turning)} of the eigenvalues turn by 10° or more in a token."
        kinds = "complex pairs" if negative < 0.1 * turning else "negative eigenvalues" if negative > 0.9 * turning else "complex pairs and negative eigenvalues"
        where = "" if len(found) == len(self.heads) else f" ({_named(found, self.single)})"
        return "Oscillates", f"{self._count(found)}{where}: {percent(turning)} of the eigenvalues turn by 10° or more in a token, {kinds}."

    def _depth(self) -> tuple[str, str] | None:
        by_layer = [(i, float(layer.measures.quartiles[1])) for i, layer in enumerate(self.study.layers)]
        known = [(i, m) for i, m in by_layer if not math.isnan(m)]
        if len(known) < 2:
            return None
        first, last = known[0][1], known[-1][1]
        top = max(known, key=lambda pair: pair[1])
        verb = "stays near" if abs(last - first) < 0.02 else "rises from" if last > first else "falls from"
        path = f"stays near {first:.2g} from the first layer to the last" if verb == "stays near" else f"{verb} {first:.2g} in the first layer to {last:.2g} in the last"
        return "Depth", f"the median |λ| {path}; it is highest in layer {top[0]}."

    def _position(self) -> tuple[str, str] | None:
        if not self.study.positions_known or len({layer.spectrum.buckets for layer in self.study.layers}) > 1:
            return None
        total = self.study.layers[0].spectrum.pool("head")
        for layer in self.study.layers[1:]:
            total = total + layer.spectrum.pool("head")
        m = measure(total)
        seen = [(start, float(m.holds[b])) for b, start in enumerate(total.buckets) if float(m.count[b]) > 0]
        if len(seen) < 2:
            return None
        (_, first), (start, last) = seen[0], seen[-1]
        return "Position", f"the share that holds goes from {percent(first)} at the beginning of a sequence to {percent(last)} from position {start} on."

    def _null(self) -> tuple[str, str] | None:
        null = self.study.uniform
        if null is None:
            return None
        ours, theirs = float(measure(merged(self.study.attention)).holds), float(measure(null).holds)
        of = "" if len(self.study.attention) == len(self.study.layers) else " of the attention layers"
        alike = f"attention that looks at all {self.study.length} tokens alike would hold {percent(theirs)} of the time without having learned anything"
        return "Against uniform attention", f"{alike}; here{of} it is {percent(ours)}."

    def _trained(self) -> tuple[str, str] | None:
        moved = [h for h in self.heads if h.from_initial is not None]
        if not moved or self.study.initial is None:
            return None
        before = self.study.initial.measures
        most = max(moved, key=lambda h: h.from_initial or 0.0)
        where = f"layer {most.layer}" if self.single else most.label
        return "Against its initialisation", (
            f"the median |λ| was {float(before.quartiles[1]):.3g} and is {float(self.whole.quartiles[1]):.3g}; what holds went from {percent(float(before.holds))} to "
            f"{percent(float(self.whole.holds))}." + (f" {where.capitalize()} moved most, by {most.from_initial:.2g} in ln|λ| on average." if most.from_initial else "")
        )

    def _broken(self) -> tuple[str, str] | None:
        broken = [h for h in self.study.heads if h.nonfinite]
        return ("Broken", f"NaN or Inf in {_named(broken, self.single)}: {sum(h.nonfinite for h in broken)} eigenvalues.") if broken else None


def sentences(study: Study) -> list[tuple[str, str]]:
    """What the numbers of a study say: catchwords and sentences."""
    return Summary(study).sentences()
