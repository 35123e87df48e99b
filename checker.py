#!/usr/bin/env python3
"""Check a certificate against its model, with NumPy alone.

Usage: python checker.py MODEL.npz CERTIFICATE.npz

The claim is lower ≤ v* ≤ upper, where v* is the fixed point of

    (Tv)(s) = t log Σ_a exp((r(s, a) + λ log μ(a|s) + γ Σ_s' P(s'|s, a) v(s')) / t),    t = λ + τ,

over the legal actions (the maximum when t = 0), and v* = 0 in terminal states. T is monotone, and contracts because
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
import sys
import zipfile

import numpy as np

U = 2.0**-53  # the rounding unit of float64
CLAIMS = ("kind", "model_sha256", "kl", "entropy", "discount", "v", "lower", "upper", "gap", "rounding", "action")
UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, MemoryError, EOFError, RuntimeError)


def main(model_path, certificate_path):
    """Print one line; return the exit code."""
    try:
        with np.load(model_path) as file:
            model = read_model(file)
        with np.load(certificate_path) as file:
            claim = read_claim(file, model["reward"].size)
    except (*UNREADABLE, zipfile.BadZipFile, zipfile.zlib.error) as error:
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
    names = [name for name in (*CLAIMS, "prior") if name in file]
    for name in names:
        if file.zip.getinfo(f"{name}.npy").file_size > 8 * pairs + 10_000:
            raise ValueError(f"{name} has more numbers than the model has states and actions")
    return {name: file[name] for name in names}


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
    gain, shift = model["reward"], 0.0
    if kl > 0:
        offset = np.broadcast_to(-np.log(model["legal"].sum(-1, keepdims=True)), gain.shape)
        offset = kl * np.where(live, np.log(np.where(live, claim["prior"], 1.0)) if "prior" in claim else offset, 0.0)
        gain, shift = gain + offset, float(np.abs(offset).max())
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
        "shift": shift,
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
        image, error = backup(facts, bound)
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
    if str(claim["kind"]) != "mdvi certificate 1":
        return f"this is no certificate that is known here: {str(claim['kind'])!r}"
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
    if "prior" in claim:
        prior = claim["prior"]
        if prior.shape != live.shape or prior.dtype.kind not in "fiu" or not (prior[live] > 0).all():
            return "the prior is not positive on every legal action"
        if prior[~model["legal"]].any() or not (np.abs(prior.sum(-1) - 1) <= 1e-12 * actions)[~ends].all():
            return "the prior of a state does not sum to 1"
    return None


def everywhere(facts, ends, least, most):
    """Bounds on v* in all states that are not terminal: the smallest and the largest gain, paid for ever.

    `least` and `most` are γ times the extreme row sums, rounded outward.
    """
    best = facts["gain"].max(-1)[~ends]
    if not len(best):
        return 0.0, 0.0
    error = U * (facts["size"] + 8 * facts["shift"]) if facts["shift"] else 0.0  # a gain without a prior is a reward
    highest = float(best.max()) + facts["temperature"] * math.log(facts["widest"]) * (1 + 8 * U)
    lowest = float(best.min())
    return forever(lowest - error, -math.inf, least, most), forever(highest + error, math.inf, least, most)


def forever(gain, outward, least, most):
    """gain / (1 − γσ), rounded outward but not beyond zero."""
    if gain == 0:
        return 0.0
    if (gain > 0) == (outward > 0):
        return math.nextafter(gain / (1 - most) * (1 + 4 * U), outward)
    return math.nextafter(gain / (1 - least) * (1 - 4 * U), outward)


def backup(facts, v):
    """Tv, and how far the computed Tv − v may be from the exact one."""
    row, column, data = facts["rows"]
    gain, temperature, widest = facts["gain"], facts["temperature"], facts["widest"]
    expected = np.bincount(row, data * v[column], minlength=gain.size).reshape(gain.shape)
    x = gain + facts["discount"] * expected
    top = x.max(-1)
    top = np.where(top > -np.inf, top, 0.0)  # terminal states
    # A sum of n products errs by n roundings; γ, the gain and the sum with it, and the comparison with v, add five.
    size = facts["size"] + float(np.abs(v).max(initial=0.0))
    error = (facts["longest"] + 5) * U * size + 8 * U * facts["shift"]
    if temperature == 0:
        return top, 1.01 * error + 1e-300
    with np.errstate(under="ignore", over="ignore", divide="ignore"):
        total = np.exp((x - top[:, None]) / temperature).sum(-1)
        soft = top + temperature * np.log(total)
    # Each exponential errs by 4 units, and by y e^-y ≤ 1/e for each unit that its argument y errs by; so does the log.
    own = temperature * ((widest + 1) * 5 + 7 * math.log(widest + 1.0)) * U
    return soft, 1.01 * (error + own) + 1e-300


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python checker.py MODEL.npz CERTIFICATE.npz")
    sys.exit(main(sys.argv[1], sys.argv[2]))
