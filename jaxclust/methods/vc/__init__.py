"""Variational Clustering (vc): a VAE whose prior is a mixture of Gaussians, learned from scratch (Prasad et al. 2020).

    k ~ Cat(1/K)      z|k ~ N(mu_beta(e_k), diag sigma^2_beta(e_k))      x|z ~ Bernoulli or Gaussian, by a decoder
    q(z, k|x) = q(k|x) q(z|x, k)     q(k|x) a softmax, q(z|x, k) = N(mu_psi(x, e_k), diag sigma^2_psi(x, e_k))

k is summed over, so nothing discrete is drawn (eq. 13; one z for every k):

    ELBO(x) = lambda_recons sum_k q(k|x) log p(x|z_k) + H[q(k|x)] - sum_k q(k|x) KL(q(z|x, k) || p(z|k))

x^ is x transformed at random; both are encoded, and should agree (eq. 14 and 17):

    L_aug(x, x^) = sum_k (q(k|x) - q(k|x^))^2 + sum_k q(k|x) W2(q(z|x, k), q(z|x^, k))
    L = - mean of ELBO(x) and ELBO(x^) + lambda_aug L_aug                                             (eq. 18)

log p(k) = -log K is left out, as in the text. With `active_clusters` j < K the sums over k of log p(x|z_k), KL and W2
have j terms: the j - 1 likeliest clusters, and one drawn from the others, in their proportions, that stands for them
all. The gradient's expectation is that of the whole sum (Liu et al., Rao-Blackwellized stochastic gradients, 2019).

Beyond the text: the start 'manifold'. Random starts often end with fewer clusters than asked. Here density clusters of
UMAPs of a VAE's codes (host/clusters.py) take the place of q(k|x) for some epochs, and q(k|x) learns them; then L.
Several `restarts` are trained, and one is kept by a `choice` that needs no label.

Deviations, the text's value last:

    variances               are at least 1e-4; not bounded
    epochs                  200 in preset 'paper'; the text states none
    activations             ReLU on vectors and in the prior's network (nn/variational.py); leaky ReLU
    network                 'size': blocks whose number follows the image's side; those of table II
    shared_trunk            q(k|x) and q(z|x, k) share their convolutions, 'quick' always; colour sets alone
    reconstruction_size     lambda_recons counts as many pixels, whatever the images have; all
"""

from jaxclust.methods.base import Method, presets
from jaxclust.methods.vc import fit
from jaxclust.methods.vc.config import PAPERS, QUICK, Config
from jaxclust.methods.vc.model import restore

METHOD = Method(
    name="vc",
    title="variational clustering: a VAE with a Gaussian mixture as prior, and a loss for augmented images",
    source="Prasad et al., Variational clustering: leveraging VAEs for image clustering, IJCNN 2020",
    Config=Config,
    presets=presets(QUICK, papers=PAPERS),
    fit=fit.fit,
    restore=restore,
)
