"""Writes reference.csv: what scikit-learn and NumPy say about small fixed data, for reference.rs to be held to.

    python reference.py > reference.csv

Written with scikit-learn 1.9.1 and NumPy. One record per line: its name, then numbers. The data themselves are
computed by both sides from the same closed formula, exact in float32.
"""
import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score, average_precision_score, balanced_accuracy_score, confusion_matrix, f1_score, normalized_mutual_info_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC


def data(rows, columns, classes, seed):
    """Integers of a congruential sequence around one center per class, in quarters: [rows, columns] and labels."""
    state, x, y = seed, np.zeros((rows, columns), np.float32), np.zeros(rows, int)
    for i in range(rows):
        y[i] = i * 5 // 3 % classes
        for j in range(columns):
            state = (1103515245 * state + 12345) % 2**31
            x[i, j] = ((state >> 16) % 17 - 8 + 3 * (((y[i] + 1) * (j + 2)) % 5 - 2)) / 4
    return x, y


def record(name, *values):
    print(",".join([name] + [repr(float(v)) for value in values for v in np.ravel(value)]))


for classes in (2, 4):
    x, y = data(300, 6, classes, 1)
    # With this seed no 20th and 21st neighbor are equally near, so that the vote is not a matter of rounding.
    new, truth = data(200, 6, classes, 5)
    for c in (0.001, 0.1, 1.0):
        m = LogisticRegression(C=c, tol=1e-10, max_iter=10000).fit(x.astype(np.float64), y)
        p = m.predict_proba(new.astype(np.float64))
        # scikit-learn's objective, C times the summed loss and half the squared norm, per row and loss.
        loss = -np.log(m.predict_proba(x.astype(np.float64))[np.arange(len(y)), y]).sum()
        record(f"objective{classes}:{c}", (c * loss + 0.5 * (m.coef_**2).sum()) / (c * len(y)))
        record(f"probabilities{classes}:{c}", p[:10])
        record(f"accuracy{classes}:{c}", m.score(new, truth))
    # The protocol of the probe, every step but the shuffle, which cannot be the same: c is given.
    mean, std = x.mean(0), x.std(0, ddof=1) + 1e-6
    m = LogisticRegression(C=0.01, tol=1e-10, max_iter=10000).fit((x - mean) / std, y)
    record(f"standardized{classes}", m.predict_proba((new - mean) / std)[:10])

    normal = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    vote = lambda distance: np.exp((1 - distance) / 0.1)
    k = KNeighborsClassifier(20, weights=vote, metric="cosine", algorithm="brute").fit(normal(x.astype(np.float64)), y)
    found = k.predict(normal(new.astype(np.float64)))
    record(f"knn{classes}", found)
    record(f"scores{classes}", f1_score(truth, found, average="macro"), balanced_accuracy_score(truth, found),
           normalized_mutual_info_score(truth, found), adjusted_rand_score(truth, found))
    record(f"confusion{classes}", confusion_matrix(truth, found))

x = data(300, 6, 4, 1)[0].astype(np.float64)
s = np.linalg.svd(x, compute_uv=False)
p = s / s.sum() + 1e-7
record("rankme", np.exp(-(p * np.log(p)).sum()))
u = normal(x)
d = ((u[:, None] - u[None]) ** 2).sum(-1)[np.triu_indices(len(u), 1)]
record("uniformity", np.log(np.exp(-2 * d).mean()))
record("dimension_std", u.std(0, ddof=1).mean())
y = data(300, 6, 4, 1)[1]
means = np.stack([x[y == c].mean(0) for c in range(4)])
between = np.cov(means.T, bias=True)
within = sum((x[y == c] - means[c]).T @ (x[y == c] - means[c]) for c in range(4)) / len(x) + 1e-4 * np.eye(6)
w, v = np.linalg.eigh(within)
half = v @ np.diag(w**-0.5) @ v.T
e = np.linalg.eigvalsh(half @ between @ half).clip(0)
p = e / e.sum() + 1e-8
# Two of the six eigenvalues are zeros for want of items; this crate takes the four of the smaller Gram matrix.
p = np.sort(p)[-4:]
record("lidar", np.exp(-(p * np.log(p)).sum()))

for classes in (2, 4):
    (x, y), (new, truth) = data(300, 6, classes, 1), data(200, 6, classes, 5)
    x, new = x.astype(np.float64), new.astype(np.float64)
    for c in (0.01, 1.0, 100.0, np.inf):
        m = SVC(C=c, tol=1e-8, decision_function_shape="ovo").fit(x, y)
        # With two classes scikit-learn turns the sign.
        decisions = m.decision_function(new[:10]) * (-1 if classes == 2 else 1)
        record(f"svm{classes}:{c}", decisions)
        record(f"svmclasses{classes}:{c}", m.predict(new))
    # TS2Vec's protocol.
    grid = {"C": [1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000, 1e4, np.inf]}
    m = GridSearchCV(SVC(), grid, cv=5).fit(x, y)
    record(f"svmprotocol{classes}", m.cv_results_["mean_test_score"], m.best_params_["C"], m.predict(new))

# Forecasts by TS2Vec's protocol: of row t the steps t + 1 to t + 5 of a series of two channels.
features, series, horizon = data(300, 6, 4, 1)[0].astype(np.float64), data(300, 2, 2, 9)[0].astype(np.float64), 5
series[1:] += features[:-1, :2] / 2
part = lambda a, b: (features[a : b - horizon], np.stack([series[t + 1 : t + 1 + horizon].ravel() for t in range(a, b - horizon)]))
(x, y), (vx, vy), (tx, ty) = part(0, 120), part(120, 200), part(200, 300)
score = lambda p: np.sqrt(((p - vy) ** 2).mean()) + np.abs(p - vy).mean()
alphas = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
scores = [score(Ridge(alpha=a).fit(x, y).predict(vx)) for a in alphas]
m = Ridge(alpha=alphas[np.argmin(scores)]).fit(x, y)
p = m.predict(tx)
record("forecast", scores, m.alpha, ((p - ty) ** 2).mean(), np.abs(p - ty).mean(), p[0])

x, y = data(300, 6, 4, 1)
record("ranking", average_precision_score(y == 1, x[:, 2]), roc_auc_score(y == 1, x[:, 2]))
