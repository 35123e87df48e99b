#!/usr/bin/env python3
"""Check a certificate against its model, with NumPy alone.

Usage: python checker.py MODEL.npz CERTIFICATE.npz

The claim is lower ≤ v* ≤ upper, where v* is the fixed point of

    (Tv)(s) = t log Σ_a exp((r(s, a) + λ log μ(a|s) + γ Σ_s' P(s'|s, a) v(s')) / t),    t = λ + τ,

over the legal actions (the maximum when t = 0), and v* = 0 in terminal states. With another Ω than Shannon's Σ π log π,
which the certificate names, or with a reference ρ,

    (Tv)(s) = max_π ⟨π, r + γPv⟩ − λ D(π‖μ) − τ Ω(π),     D(π‖μ) = Ω(π) − Ω(μ) − ⟨∇Ω(μ), π − μ⟩,

    tsallis:α        Ω(π) = (Σ π^α − 1) / (α(α−1))              α = 1: Σ π log π
    kl-to-uniform    Ω(π) = Σ π log (nπ), n legal actions       of these, and Shannon's, −τ D(π‖ρ) replaces −τ Ω(π)
    divergence:α     Ω(π) = (Σ ρ^{1−α} π^α − 1) / (α(α−1))      α = 1: Σ π log (π/ρ); ρ is uniform unless given
    lazy             Ω(π) = 1 − min π/ρ, and D(π‖μ) = Ω(π)      likewise

No maximum has to be found for these: with any π, ⟨π, x⟩ − tΩ(π) is a lower bound on it, and with any number ν the dual
function in `from_above` is an upper one. So nothing depends on how well the search for a good π and ν has worked.

T is monotone, and contracts because
γ times every row sum of P, without the probability of terminal states, is below 1. So T lower ≥ lower and
T upper ≤ upper would be enough: applying T again and again then climbs, or falls, to v*. Where a bound is no better
than one that holds for all states, and follows from the smallest and the largest reward alone, nothing is left to show:
T may be replaced by max(T, that bound), which has the same fixed point. Everywhere else both are computed in float64,
and asked to hold by more than the rounding error of the computation, which is bounded here from first principles
(N. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Nothing of mdvi is imported.
Exit code 0: proved. 1: not proved. 2: unreadable.
"""

import hashlib
import math
import re
import sys

import numpy as np

U = 2.0**-53  # the rounding unit of float64
OPTIONAL = ("prior", "reference", "regularizer")
CLAIMS = ("kind", "model_sha256", "kl", "entropy", "discount", "v", "lower", "upper", "gap", "rounding", "action")


def main(model_path, certificate_path):
    """Print one line; return the exit code."""
    try:
        with np.load(model_path) as file:
            model = read_model(file)
        with np.load(certificate_path) as file:
            claim = read_claim(file, model["reward"].size)
    except Exception as error:
        print(f"unreadable: {' '.join(str(error).split())!r}", file=sys.stderr)
        return 2
    wrong = check(model, claim)
    if wrong:
        print(f"NOT PROVED: {wrong}")
        return 1
    width = float(np.max(claim["upper"] - claim["lower"]))
    print(f"proved: lower ≤ v* ≤ upper in all {len(claim['lower'])} states, width at most {width:.3g}")
    return 0


def read_model(file):
    """Rows of P in CSR, r, γ, terminal and legal, from either of the layouts that models are stored in."""
    reward = real(file["reward"], "reward")
    states = len(reward)
    if "transition" in file:
        dense = real(file["transition"], "transition")
        actions = dense.shape[1]
        dense = dense.reshape(states * actions, states)
        row, column = np.nonzero(dense)
        data = dense[row, column]
    elif "next_state" in file:
        table, target = real(file["probability"], "probability"), file["next_state"]
        _, actions, width = target.shape
        row, slot = np.nonzero(table.reshape(states * actions, width))
        column, data = target.reshape(-1, width)[row, slot], table.reshape(-1, width)[row, slot]
    else:
        length = np.diff(file["indptr"].astype(np.int64))
        actions = len(length) // states
        row, column, data = np.repeat(np.arange(len(length)), length), file["indices"], real(file["data"], "data")
    reward = np.broadcast_to(reward[:, None] if reward.ndim == 1 else reward, (states, actions))
    terminal = file["terminal"] if "terminal" in file else np.zeros(states, bool)
    legal = file["legal"] if "legal" in file else np.ones((states, actions), bool)
    if (terminal.dtype, terminal.shape, legal.dtype, legal.shape) != (bool, (states,), bool, (states, actions)):
        raise ValueError("terminal and legal are not Booleans of shape (states,) and (states, actions)")
    if column.dtype.kind not in "iu" or not len(row) == len(column) == len(data):
        raise ValueError("the rows of P are not lists of next states and probabilities")
    live = legal & ~terminal[:, None]
    kept = (data != 0) & live.ravel()[row]
    order = np.lexsort((column[kept], row[kept]))
    row, column, data = row[kept][order], column[kept].astype(np.int64)[order], data[kept][order]
    if len(row) and (column.min() < 0 or column.max() >= states):
        raise ValueError("a next state is out of range")
    if not ((data >= 0) & np.isfinite(data)).all() or not np.isfinite(reward[live]).all():
        raise ValueError("a probability or a reward is not a number that it may be")
    discount = float(real(file["discount"], "discount").reshape(()))
    if not 0 <= discount < 1:
        raise ValueError("the discount is not in [0, 1)")
    return {
        "row": row,
        "column": column,
        "data": data,
        "reward": np.where(live, reward, 0.0),
        "discount": discount,
        "terminal": terminal,
        "legal": legal | terminal[:, None],
    }


def read_claim(file, pairs):
    """The arrays that a certificate may have; none is longer than a table over the model's states and actions."""
    names = [name for name in (*CLAIMS, *OPTIONAL) if name in file]
    for name in names:
        if file.zip.getinfo(f"{name}.npy").file_size > 8 * pairs + 10_000:
            raise ValueError(f"{name} has more numbers than the model has states and actions")
    claim = {name: in_doubles(file[name]) for name in names}
    operator(claim)
    return claim


def in_doubles(array):
    """Floating-point numbers of other lengths as float64, in which everything is computed."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def operator(claim):
    """The family of Ω and its α; a certificate that names none is for Shannon's."""
    name = str(claim["regularizer"]) if "regularizer" in claim else "shannon"
    family, colon, index = name.partition(":")
    indexed = family in ("tsallis", "divergence")
    if not (indexed or family in ("shannon", "kl-to-uniform", "lazy")) or indexed != bool(colon):
        raise ValueError(f"no operator that is known here is called {name}")
    if colon and not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", index, re.ASCII):
        raise ValueError(f"the index of {name!r} is not a number")
    alpha = float(index) if colon else 1.0
    if not 0 < alpha < 1000:
        raise ValueError(f"the index of {name} is not above 0 and below 1000")
    return family, alpha


def real(array, name):
    """Real numbers in float64."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} is not an array of real numbers")
    return array.astype(float)


def digest(model):
    """SHA-256 of the model, as certificates name it."""
    states, actions = model["reward"].shape
    start = np.concatenate([[0], np.cumsum(np.bincount(model["row"], minlength=states * actions))])
    sha = hashlib.sha256()
    for array, kind in (
        (start, "<i8"),
        (model["column"], "<i8"),
        (model["data"], "<f8"),
        (model["reward"], "<f8"),
        (model["discount"], "<f8"),
        (model["terminal"], "|b1"),
        (model["legal"], "|b1"),
    ):
        sha.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    return sha.hexdigest()


def check(model, claim):
    """What is wrong with the claim; None when it is proved."""
    wrong = malformed(model, claim)
    if wrong:
        return wrong
    ends, live = model["terminal"], model["legal"] & ~model["terminal"][:, None]
    lower, upper = claim["lower"].astype(float), claim["upper"].astype(float)
    kl, entropy = float(claim["kl"]), float(claim["entropy"])
    family, alpha = operator(claim)
    weights = weights_of(claim, family, live)
    gain, drift = shifted(claim, model, weights)
    # Terminal states are worth zero: what leads there adds nothing to any sum.
    inside = ~ends[model["column"]]
    rows = model["row"][inside], model["column"][inside], model["data"][inside]
    mass = np.bincount(rows[0], rows[2], minlength=gain.size)[live.ravel()]
    facts = {
        "rows": rows,
        "gain": np.where(live, gain, -np.inf),
        "discount": model["discount"],
        "temperature": kl + entropy,
        "longest": int(np.bincount(rows[0]).max(initial=1)) if len(rows[0]) else 1,
        "widest": int(live.sum(-1).max(initial=1)),
        "size": float(np.abs(gain[live]).max(initial=0.0)),
        "drift": drift,
        "family": family,
        "alpha": alpha,
        "weights": weights,
        "rarest": float(weights[live].min(initial=1.0)),
    }
    most = float(mass.max(initial=0.0)) * (1 + (facts["longest"] + 2) * U)
    least = max(float(mass.min(initial=1.0)) * (1 - (facts["longest"] + 2) * U), 0.0)
    most, least = model["discount"] * most * (1 + 2 * U), model["discount"] * least * (1 - 2 * U)
    if most >= 1:
        return "γ times the largest row sum is not below 1"
    known = everywhere(facts, ends, least, most)
    lower, upper = np.maximum(lower, known[0]), np.minimum(upper, known[1])
    for claimed, rest, sign in ((lower, known[0], 1.0), (upper, known[1], -1.0)):
        bound = np.where(ends, 0.0, claimed)
        image, error = backup(facts, bound, sign)
        short = ~(sign * (image - bound) >= error) & (bound != rest) & ~ends
        if short.any():
            s = int(np.flatnonzero(short)[0])
            return f"{'lower' if sign > 0 else 'upper'} bound of state {s} does not follow: T moves it the wrong way"
    return None


def malformed(model, claim):
    """What is wrong with the claim before any of it is computed; None when nothing is."""
    (states, actions), ends = model["reward"].shape, model["terminal"]
    live = model["legal"] & ~ends[:, None]
    for name in CLAIMS:
        if name not in claim:
            return f"the certificate has no {name}"
        kinds = "U" if name in CLAIMS[:2] else "iu" if name == "action" else "fiu"
        shape = (states,) if name in ("v", "lower", "upper", "action") else ()
        if claim[name].dtype.kind not in kinds or claim[name].shape != shape:
            return f"{name} is not of the type and shape that it should be"
        if kinds != "U" and not np.isfinite(claim[name]).all():
            return f"{name} is not finite"
    if str(claim["kind"]) not in ("mdvi certificate 1", "mdvi certificate 2"):
        return f"this is no certificate that is known here: {str(claim['kind'])!r}"
    first = str(claim["kind"]) == "mdvi certificate 1"
    if "regularizer" not in claim and not first:
        return "the certificate has no regularizer"
    if first and (operator(claim)[0] != "shannon" or "reference" in claim):
        return "a certificate of the first kind is for Shannon's regularizer without a reference"
    if str(claim["model_sha256"]) != digest(model):
        return "the certificate is for another model"
    if float(claim["discount"]) != model["discount"]:
        return "the certificate is for another discount"
    if claim["kl"] < 0 or claim["entropy"] < 0 or claim["rounding"] < 0:
        return "the weights of the KL and the entropy, or the rounding, are not numbers of at least 0"
    lower, upper = claim["lower"], claim["upper"]
    if (lower[ends] > 0).any() or (upper[ends] < 0).any():
        return "terminal states are worth zero"
    if not ((lower <= claim["v"]) & (claim["v"] <= upper)).all():
        return "v is not between the bounds"
    if not float(claim["gap"]) >= float(np.max(upper - lower)) * (1 - 8 * U):
        return "the gap is smaller than the distance of the bounds"
    action = claim["action"]
    if action.min() < 0 or action.max() >= actions or not model["legal"][np.arange(states), action].all():
        return "an action is not legal"
    family, alpha = operator(claim)
    may_be_zero = family == "lazy" or (family == "tsallis" and alpha > 1)
    for name, least in (("prior", 0.0), ("reference", -5e-324 if may_be_zero else 0.0)):
        if name in claim:
            policy = claim[name]
            if policy.shape != live.shape or policy.dtype.kind not in "fiu" or not (policy[live] > least).all():
                return f"the {name} is not positive on every legal action"
            if policy[~model["legal"]].any() or not (np.abs(policy.sum(-1) - 1) <= 1e-12 * actions)[~ends].all():
                return f"the {name} of a state does not sum to 1"
    if family == "lazy" and "prior" in claim:
        return "lazy has no divergence to a prior"
    return None


def weights_of(claim, family, live):
    """W of Ω(π) = (Σ w^{1−α} π^α − 1) / (α(α−1)), and what lazy calls ρ; each right to a few roundings."""
    if family in ("shannon", "tsallis"):
        return np.ones(live.shape)
    own = claim.get("reference") if family in ("divergence", "lazy") else None
    weights = np.where(live, 1.0 if own is None else own, 0.0)
    return np.where(live, weights / np.where(live.any(-1), added(weights), 1.0)[:, None], 1.0)


def shifted(claim, model, weights):
    """R + λc(μ) + τc(ρ) with c = ∇Ω − Ω*(∇Ω), log for Shannon; and how far that may be off before it is rounded."""
    (family, alpha), legal, gain, drift = operator(claim), model["legal"], model["reward"], 0.0
    live, count = legal & ~model["terminal"][:, None], legal.sum(-1, keepdims=True)
    bregman = ("entropy", "reference") if family in ("shannon", "tsallis", "kl-to-uniform") else ("entropy", "")
    for weight, name in (("kl", "prior"), bregman):
        weight = float(claim[weight])
        if weight == 0 or family == "lazy" or not (name == "prior" or name in claim):
            continue
        if family == "shannon":
            c = (
                np.log(np.where(live, claim[name], 1.0))
                if name in claim
                else np.broadcast_to(-np.log(count), live.shape)
            )
            c = weight * np.where(live, c, 0.0)
            error = 8 * U * float(np.abs(c).max())
        else:
            policy = np.where(live, claim[name] if name in claim else 1 / count, 0.0)
            c, error = dual(policy, weights, alpha, live)
            c, error = weight * c, weight * error + 4 * U * weight * float(np.abs(c).max())
        gain, drift = gain + c, drift + error
    return gain, drift


def everywhere(facts, ends, least, most):
    """Bounds on v* in all states that are not terminal: the smallest and the largest gain, paid for ever.

    `least` and `most` are γ times the extreme row sums, rounded outward.
    """
    best = facts["gain"].max(-1)[~ends]
    if not len(best):
        return 0.0, 0.0
    error = U * facts["size"] + facts["drift"] if facts["drift"] else 0.0  # a gain without a prior is a reward
    least_omega, most_omega = extremes(facts)
    highest = float(best.max()) - facts["temperature"] * least_omega
    lowest = float(best.min()) - facts["temperature"] * most_omega
    return forever(lowest - error, -math.inf, least, most), forever(highest + error, math.inf, least, most)


def extremes(facts):
    """The least and the largest value of Ω, rounded outward by a few roundings."""
    family, alpha, widest = facts["family"], facts["alpha"], facts["widest"]
    if family == "lazy":
        return 0.0, 1.0
    if family == "shannon":
        return -math.log(widest) * (1 + 8 * U), 0.0
    if family == "tsallis":
        exponent = (1 - alpha) * math.log(widest)
        size = -math.log(widest) if alpha == 1 else math.expm1(exponent) / (alpha * (alpha - 1))
        return size * (1 + (16 + 4 * abs(exponent)) * U), 0.0
    if family == "kl-to-uniform":
        return 0.0, math.log(widest) * (1 + 12 * U)
    # The weight is a quotient by a sum, and its power multiplies what that rounds.
    roundings = 16 + 2 * abs(1 - alpha) * (facts["weights"].shape[1] + 2 - 2 * math.log(facts["rarest"]))
    return 0.0, vertex(facts["rarest"], alpha) * (1 + roundings * U) if widest > 1 else 0.0


def vertex(rho, alpha):
    """(ρ^{1−α} − 1) / (α(α−1)), the divergence of a single action."""
    if alpha == 1:
        return -math.log(rho)
    exponent = (1 - alpha) * math.log(rho)
    return (rho ** (1 - alpha) - 1 if abs(exponent) > 1 else math.expm1(exponent)) / (alpha * (alpha - 1))


def forever(gain, outward, least, most):
    """gain / (1 − γσ), rounded outward but not beyond zero."""
    if gain == 0:
        return 0.0
    if (gain > 0) == (outward > 0):
        return math.nextafter(gain / (1 - most) * (1 + 4 * U), outward)
    return math.nextafter(gain / (1 - least) * (1 - 4 * U), outward)


def backup(facts, v, sign):
    """Tv, and how far the computed Tv − v may be from the exact one; or a bound on Tv, a lower one if `sign` > 0."""
    row, column, data = facts["rows"]
    gain, temperature, widest = facts["gain"], facts["temperature"], facts["widest"]
    expected = np.bincount(row, data * v[column], minlength=gain.size).reshape(gain.shape)
    x = gain + facts["discount"] * expected
    top = x.max(-1)
    top = np.where(top > -np.inf, top, 0.0)  # terminal states
    # A sum of n products errs by n roundings; γ, the gain and the sum with it, and the comparison with v, add five.
    size = facts["size"] + float(np.abs(v).max(initial=0.0))
    error = (facts["longest"] + 5) * U * size + facts["drift"]
    if temperature == 0:
        return top, 1.01 * error + 1e-300
    if facts["family"] != "shannon":
        with np.errstate(all="ignore"):  # rows without an action, whose numbers nobody looks at
            beyond = beyond_the_top(facts, np.where(x > -np.inf, x - top[:, None], -np.inf), sign)
        own = temperature * max(map(abs, extremes(facts))) + np.abs(top) + 3 * np.abs(beyond)  # t is rounded, too
        return top + beyond, 1.01 * (error + 2 * U * own) + 1e-300
    with np.errstate(under="ignore", over="ignore", divide="ignore"):
        total = np.exp((x - top[:, None]) / temperature).sum(-1)
        soft = top + temperature * np.log(total)
    # Each exponential errs by 4 units, and by y e^-y ≤ 1/e for each unit that its argument y errs by; so does the log.
    own = temperature * ((widest + 1) * 5 + 7 * math.log(widest + 1.0)) * U
    return soft, 1.01 * (error + own) + 1e-300


def beyond_the_top(facts, gap, sign):
    """A lower or an upper bound on max_π ⟨π, gap⟩ − tΩ(π), where the gap is x − max x."""
    t, alpha, w = facts["temperature"], facts["alpha"], facts["weights"]
    live = gap > -np.inf
    if facts["family"] == "lazy":
        terms = np.where(live, w * gap, 0.0)
        return np.maximum(added(terms) * (1 + sign * (2 * depth(w) + 8) * U), -t)
    y = np.where(live, np.maximum(gap / t, -1e150), 0.0)
    nu = threshold(np.where(live, y, -np.inf), w, alpha - 1)[:, None]
    return t * (from_below if sign > 0 else from_above)(y, live, nu, w, alpha)


def threshold(y, w, e):
    """About the ν with Σ wψ(y − ν) = 1, where ψ(u) = [1 + eu]₊^{1/e}; by bisection."""
    low = np.max(y - slope(1 / w, e)[0], -1)
    high = np.maximum(-slope(1 / added(np.where(y > -np.inf, w, 0.0)), e)[0], low)
    wide = np.where(np.isfinite(high - low), high - low, 0.0).max(initial=1.0)
    for _ in range(55 + math.ceil(math.log2(1 + wide))):
        middle = (low + high) / 2
        u = e * (y - middle[:, None])
        chance = (
            np.exp(y - middle[:, None])
            if e == 0
            else np.where(u > -1, np.exp(np.log1p(u) / e), math.inf if e < 0 else 0.0)
        )
        above = added(np.where(y > -np.inf, w * chance, 0.0)) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


def from_above(y, live, nu, w, alpha):
    """The dual function ν + (Σ wψ(y − ν)^α − 1)/α, above max_π ⟨π, y⟩ − Ω(π) for every ν; rounded up.

    ψ grows with its argument: what rounds that is added to it. The logarithm and the exponential err by 4 units.
    """
    e, error = alpha - 1, 8 * U * (np.abs(y) + np.abs(nu))
    u = y - nu + error
    inside = e * u > -1
    logarithm = u if e == 0 else np.log1p(np.where(inside, e * u, 0.0)) / e
    power = np.where(inside, np.exp(alpha * logarithm), 0.0 if e >= 0 else math.inf)
    steep = np.where(inside & (power > 0), np.abs(e * u) / (1 + e * u), 0.0)  # of an index that is not exact
    power *= 1 + U * (8 * alpha * np.abs(logarithm) + 2 * alpha * steep + depth(w) + 16)
    total, nu = added(np.where(live, w * power, 0.0)) * (1 + 2 * depth(w) * U), nu[:, 0]
    return nu + (total - 1) / alpha + 8 * U * (np.abs(nu) + (total + 1) / alpha)


def from_below(y, live, nu, w, alpha):
    """⟨p, y⟩ − Ω(p) with p = wψ(y − ν) divided by its sum, Ω(p) = Σ pφ'(p/w)/α; rounded down."""
    e, n = alpha - 1, depth(w)
    u = e * (y - nu)
    chance = np.exp(y - nu) if e == 0 else np.where(u > -1, np.exp(np.log1p(u) / e), 0.0)
    p = np.where(live & (y > -1e149), w * chance, 0.0)
    p = p / added(p)[:, None]
    value, power, error = slope(np.where(p > 0, p / w, 1.0), e)
    error = (2 * n + 20) * (np.abs(y) + np.abs(value) / alpha) + (error + (2 * n + 12) * power) / alpha
    return added(np.where(p > 0, p * (y - value / alpha), 0.0)) - 1.01 * U * added(np.where(p > 0, p * error, 0.0))


def dual(policy, w, alpha, live):
    """∇Ω(μ) − Ω*(∇Ω(μ)) = φ'(μ/w) − (1 − 1/α) Σ μφ'(μ/w), and how far the computed one may be off."""
    value, power, error = slope(policy / w, alpha - 1)
    value, error, n = np.where(live, value, 0.0), np.where(live, error + (depth(w) + 6) * power, 0.0), depth(w)
    mean = (1 - 1 / alpha) * added(policy * value)[:, None]
    c = np.where(live, value - mean, 0.0)
    size = added(policy * np.abs(value))[:, None]
    share = abs(1 - 1 / alpha)
    error = error + share * added(policy * error)[:, None] + (share * (n + 6) + 2) * size + 3 * np.abs(c)
    return c, 1.01 * U * float(error.max(initial=0.0))


def slope(t, e):
    """φ'(t) = (t^e − 1)/e and t^e, and how many roundings φ' errs by where t errs by none; log t if e = 0."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        logarithm = np.log(t)
        if e == 0:
            return logarithm, np.ones(np.shape(t)), 4 * np.abs(logarithm)
        power = t**e
        value = np.where(np.abs(e * logarithm) > 0.5, power - 1, np.expm1(e * logarithm)) / e
        return value, power, power * (1 + np.minimum(5 * np.abs(logarithm), 5 / abs(e))) + 6 * np.abs(value)


def added(x):
    """Sums along the last axis, halves first: each errs by at most `depth` roundings of Σ|x|."""
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = np.concatenate([x[..., :half] + x[..., half : 2 * half], x[..., 2 * half :]], -1)
    return x[..., 0]


def depth(x):
    """How many additions follow one another in `added`."""
    return math.ceil(math.log2(x.shape[-1])) + 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python checker.py MODEL.npz CERTIFICATE.npz")
    sys.exit(main(sys.argv[1], sys.argv[2]))
