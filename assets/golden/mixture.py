"""Makes mixture.json: what scikit-learn's mixtures come to from given responsibilities.

    python3 assets/golden/mixture.py        (numpy, scikit-learn)

The bound of the Bayesian mixture is evaluated here term by term (Bishop 2006, 10.71 to 10.77), independently of scikit-learn, whose
own bound leaves out constants.
"""

import json
import pathlib

import numpy as np
from scipy.special import digamma, gammaln
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

here = pathlib.Path(__file__).parent


def load(path):
    return np.array([[float(x) for x in line.split(",")] for line in path.read_text().split()[1:]])


def start(labels, k):
    return np.eye(k)[labels]


def fit(model, x, resp):
    model._initialize_parameters = lambda x, random_state, xp=None: model._initialize(x, resp)
    model.fit(x)
    assert model.converged_
    return model


def bound(model, x):
    """The terms of Bishop's bound, for the model's posterior and its own responsibilities."""
    (n, m), k = x.shape, model.n_components
    r = model.predict_proba(x)
    alpha, beta, nu = model.weight_concentration_, model.mean_precision_, model.degrees_of_freedom_
    alpha0, beta0, nu0 = model.weight_concentration_prior_, model.mean_precision_prior_, model.degrees_of_freedom_prior_
    m0, w0_inverse = model.mean_prior_, np.atleast_2d(model.covariance_prior_)
    w = [np.linalg.inv(model.covariances_[c] * nu[c]) for c in range(k)]
    log_pi = digamma(alpha) - digamma(alpha.sum())
    steps = np.arange(m)
    log_det = np.array([digamma((nu[c] - steps) / 2).sum() + m * np.log(2) + np.linalg.slogdet(w[c])[1] for c in range(k)])

    def log_b(log_det_w, nu):
        return (-nu / 2 * log_det_w - nu * m / 2 * np.log(2) - m * (m - 1) / 4 * np.log(np.pi)
                - gammaln((nu - steps) / 2).sum())

    total = 0.0
    for c in range(k):
        d = x - model.means_[c]
        quadratic = np.einsum("ni,ij,nj->n", d, w[c], d)
        # 10.71, 10.72, 10.75: E[log p(X | Z, mu, Lambda)], E[log p(Z | pi)], E[log q(Z)]
        total += (r[:, c] * 0.5 * (log_det[c] - m / beta[c] - nu[c] * quadratic - m * np.log(2 * np.pi))).sum()
        total += r[:, c].sum() * log_pi[c]
        total -= (r[:, c] * np.log(np.where(r[:, c] > 0, r[:, c], 1))).sum()
        # 10.74: E[log p(mu, Lambda)]
        d = model.means_[c] - m0
        total += 0.5 * (m * np.log(beta0 / (2 * np.pi)) + log_det[c] - m * beta0 / beta[c] - beta0 * nu[c] * d @ w[c] @ d)
        total += log_b(-np.linalg.slogdet(w0_inverse)[1], nu0) + (nu0 - m - 1) / 2 * log_det[c]
        total -= 0.5 * nu[c] * np.trace(w0_inverse @ w[c])
        # 10.77: E[log q(mu, Lambda)], with the entropy of the Wishart distribution (B.82)
        log_det_w = np.linalg.slogdet(w[c])[1]
        entropy = -log_b(log_det_w, nu[c]) - (nu[c] - m - 1) / 2 * log_det[c] + nu[c] * m / 2
        total -= 0.5 * log_det[c] + m / 2 * np.log(beta[c] / (2 * np.pi)) - m / 2 - entropy
    # 10.73 and 10.76: E[log p(pi)], E[log q(pi)]
    total += gammaln(k * alpha0) - k * gammaln(alpha0) + (alpha0 - 1) * log_pi.sum()
    total -= gammaln(alpha.sum()) - gammaln(alpha).sum() + ((alpha - 1) * log_pi).sum()
    return total


faithful = load(here.parent / "faithful.csv")
iris = load(here / "iris.csv")


def ranked(values, k):
    order = np.argsort(values, kind="stable")
    labels = np.empty(len(values), int)
    labels[order] = np.arange(len(values)) * k // len(values)
    return labels


starts = {
    "faithful": (faithful, {2: (faithful[:, 1] > 68).astype(int), 3: ranked(faithful[:, 1], 3), 6: ranked(faithful[:, 1], 6)}),
    "iris": (iris, {2: ranked(iris[:, 2], 2), 3: ranked(iris[:, 2], 3), 5: ranked(iris[:, 2], 5)}),
}
kinds = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}
cases = []
for name, (x, labels) in starts.items():
    for k in (2, 3):
        for ours, theirs in kinds.items():
            for ridge in (0.0, 1e-6, 0.05):
                model = GaussianMixture(k, covariance_type=theirs, reg_covar=ridge, tol=1e-13, max_iter=20000)
                fit(model, x, start(labels[k], k))
                cases.append({
                    "data": name, "covariance": ours, "ridge": ridge, "labels": labels[k].tolist(), "components": k,
                    "log_likelihood": model.score(x) * len(x), "bic": model.bic(x),
                    "weights": model.weights_.tolist(), "means": model.means_.tolist(),
                    "covariances": np.asarray(model.covariances_).tolist(),
                })
bayes = []
for name, (x, labels) in starts.items():
    for k, alpha in ((2, None), (3, None), (3, 10.0), (6 if name == "faithful" else 5, 1e-2)):
        model = BayesianGaussianMixture(
            n_components=k, weight_concentration_prior_type="dirichlet_distribution", weight_concentration_prior=alpha,
            reg_covar=0.0, tol=1e-11, max_iter=50000)
        fit(model, x, start(labels[k], k))
        bayes.append({
            "data": name, "concentration": alpha, "labels": labels[k].tolist(), "components": k,
            "log_likelihood": model.score(x) * len(x), "elbo": bound(model, x),
            "weights": model.weights_.tolist(), "means": model.means_.tolist(),
            "covariances": model.covariances_.tolist(),
            "alpha": model.weight_concentration_.tolist(), "beta": model.mean_precision_.tolist(),
            "nu": model.degrees_of_freedom_.tolist(),
        })
special = [{"x": x, "ln_gamma": float(gammaln(x)), "digamma": float(digamma(x))}
           for x in (1e-9, 1e-3, 0.1, 0.5, 1.0, 1.4616321449683623, 2.0, 3.7, 11.999, 12.0, 37.5, 1e3, 1e6, 1e12)]
text = json.dumps({"mixtures": cases, "bayesian": bayes, "special": special}, indent=None, separators=(",", ":"))
(here / "mixture.json").write_text(text.replace("},{", "},\n{") + "\n")
