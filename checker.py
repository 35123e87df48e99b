#!/usr/bin/env python3
"""Check a certificate against its model, with NumPy alone.

Usage: python checker.py MODEL.npz CERTIFICATE.npz

The claim is lower ≤ v* ≤ upper, where v* is the fixed point of

    (Tv)(s) = t log Σ_a exp((r(s, a) + λ log μ(a|s) + γ Σ_s' P(s'|s, a) v(s')) / t),    t = λ + τ,

over the legal actions (the maximum when t = 0), and v* = 0 in terminal states. T is monotone, and contracts because
γ times every row sum of P is below 1. So it is enough that T lower ≥ lower and T upper ≤ upper: applying T again and
again then climbs, or falls, to v*. Both are computed in float64, and asked to hold by more than the rounding error of
the computation, which is bounded here from first principles (N. Higham, Accuracy and Stability of Numerical
Algorithms, section 3.1). Nothing of mdvi is imported. Exit code 0: proved. 1: not proved. 2: unreadable.
"""

import hashlib
import sys
import zipfile

import numpy as np

U = 2.0**-53  # the rounding unit of float64


def main(model_path, certificate_path):
    """Print one line; return the exit code."""
    try:
        with np.load(model_path) as file:
            model = read_model(file)
        with np.load(certificate_path) as file:
            claim = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        print(f"unreadable: {error}", file=sys.stderr)
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
    reward = np.asarray(file["reward"], float)
    states, actions = reward.shape
    if "transition" in file:
        dense = np.asarray(file["transition"], float).reshape(states * actions, states)
        row, column = np.nonzero(dense)
        data = dense[row, column]
    elif "next_state" in file:
        table = np.asarray(file["probability"], float).reshape(states * actions, -1)
        listed = table != 0
        row = np.repeat(np.arange(states * actions), listed.sum(1))
        column, data = np.asarray(file["next_state"]).reshape(table.shape)[listed].astype(np.int64), table[listed]
    else:
        length = np.diff(np.asarray(file["indptr"]).astype(np.int64))
        row, column = np.repeat(np.arange(states * actions), length), np.asarray(file["indices"]).astype(np.int64)
        data = np.asarray(file["data"], float)
    terminal = np.asarray(file["terminal"], bool) if "terminal" in file else np.zeros(states, bool)
    legal = np.asarray(file["legal"], bool) if "legal" in file else np.ones((states, actions), bool)
    live = legal & ~terminal[:, None]
    kept = (data != 0) & live.ravel()[row]
    order = np.lexsort((column[kept], row[kept]))
    row, column, data = row[kept][order], column[kept][order], data[kept][order]
    if len(row) and (column.min() < 0 or column.max() >= states):
        raise ValueError("a next state is out of range")
    if not ((data >= 0) & np.isfinite(data)).all() or not np.isfinite(reward[live]).all():
        raise ValueError("a probability or a reward is not a number that it may be")
    if not 0 <= float(file["discount"]) < 1:
        raise ValueError("the discount is not in [0, 1)")
    return {
        "row": row,
        "column": column,
        "data": data,
        "reward": np.where(live, reward, 0.0),
        "discount": float(file["discount"]),
        "terminal": terminal,
        "legal": legal | terminal[:, None],
    }


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
    states, _ = model["reward"].shape
    if str(claim["kind"]) != "mdvi certificate 1":
        return f"this is no certificate that is known here: {claim['kind']}"
    if str(claim["model_sha256"]) != digest(model):
        return "the certificate is for another model"
    if float(claim["discount"]) != model["discount"]:
        return "the certificate is for another discount"
    lower, upper = np.asarray(claim["lower"], float), np.asarray(claim["upper"], float)
    if lower.shape != (states,) or upper.shape != (states,) or not np.isfinite(lower + upper).all():
        return "the bounds are not one finite number per state"
    ends = model["terminal"]
    if (lower[ends] > 0).any() or (upper[ends] < 0).any():
        return "terminal states are worth zero"
    if (lower > upper).any() or float(claim["gap"]) < float(np.max(upper - lower)) * (1 - 8 * U):
        return "the gap is smaller than the distance of the bounds"
    kl, entropy = float(claim["kl"]), float(claim["entropy"])
    if not (0 <= kl < np.inf and 0 <= entropy < np.inf):
        return "the weights of the KL and the entropy are not numbers of at least 0"
    longest = int(np.bincount(model["row"]).max(initial=1)) if len(model["row"]) else 1
    mass = np.bincount(model["row"], model["data"], minlength=model["reward"].size)
    if model["discount"] * mass.max(initial=0.0) * (1 + (longest + 2) * U) >= 1:
        return "γ times the largest row sum is not below 1"
    offset = np.zeros(model["reward"].shape)
    if kl > 0:
        prior = claim.get("prior", model["legal"] / model["legal"].sum(-1, keepdims=True))
        live = model["legal"] & ~ends[:, None]
        if prior.shape != offset.shape or not (prior[live] > 0).all():
            return "the prior is not positive on every legal action"
        offset = kl * np.log(np.where(live, prior, 1.0))
    for bound, sign in ((lower, 1.0), (upper, -1.0)):
        bound = np.where(ends, 0.0, bound)
        image, error = backup(model, offset, kl + entropy, bound, longest)
        short = (sign * (image - bound) < error) & ~ends
        if short.any():
            s = int(np.flatnonzero(short)[0])
            return f"{'lower' if sign > 0 else 'upper'} bound of state {s} does not follow: T moves it the wrong way"
    return None


def backup(model, offset, temperature, v, longest):
    """Tv, and how far the computed Tv may be from the exact one."""
    states, actions = model["reward"].shape
    expected = np.bincount(model["row"], model["data"] * v[model["column"]], minlength=states * actions)
    gain = model["reward"] + offset
    live = model["legal"] & ~model["terminal"][:, None]
    x = np.where(live, gain + model["discount"] * expected.reshape(states, actions), -np.inf)
    x[model["terminal"]] = 0.0
    top = x.max(-1)
    size = np.abs(gain[live]).max(initial=0.0) + np.abs(v).max(initial=0.0)
    # A sum of n products errs by n roundings; γ, the gain and the sum with it, and the comparison with v, add five.
    error = (longest + 5) * U * size + 8 * U * np.abs(offset).max(initial=0.0)
    if temperature == 0:
        return top, 1.01 * error + 1e-300
    with np.errstate(under="ignore", over="ignore"):
        total = np.exp((x - top[:, None]) / temperature).sum(-1)
    # Each exponential errs by 4 units, and by y e^-y ≤ 1/e for each unit that its argument y errs by; so does the log.
    own = temperature * ((actions + 2) * 5 + 6 * np.log(actions + 1.0)) * U
    return top + temperature * np.log(total), 1.01 * (error + own) + 1e-300


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python checker.py MODEL.npz CERTIFICATE.npz")
    sys.exit(main(sys.argv[1], sys.argv[2]))
