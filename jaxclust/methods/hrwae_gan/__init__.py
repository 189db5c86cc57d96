"""Hierarchical and relativistic Wasserstein autoencoder-GAN (hrwae-gan; Morais, MSc thesis, IST 2021).

    x                 example              z_0 .. z_L-1      latent groups, z_0 at the top (nn/hierarchical.py)
    q(z_l|z_<l, x)    posterior            p(z_l|z_<l)       prior, learned but for p(z_0) = N(0, I)
    D_l, f            critic of group l before its sigmoid, and that sigmoid

Each critic tells draws z of the prior from draws z^ of the posterior, in pairs, and the encoder deceives it:

    L_D = sum_l a_l E[-log f(D_l(z) - D_l(z^))]                                          (eq. 5)
    L_G = sum_l a_l E[-log f(D_l(z^) - D_l(z))],  a_0 >= a_1 >= ..                       (eq. 6)
    L_I = sum_{l >= 1} 1 - cos(e_N-l, d_l), the encoder's map and the decoder's of one size    (eq. 10)
    L   = sum_i w_i (L_R + alpha L_G + kappa L_I)_i / sum_i w_i                          (eq. 9)

L_R is the cross-entropy or the squared error of the reconstruction. w is the noise attention: every few epochs UMAP and
HDBSCAN cluster z_0, and what is noise weighs `noise_weight` until the next time, others 1. L = 1 is a relativistic
WAE-GAN.

After the training each group's posterior means are clustered by UMAP and HDBSCAN, or by a Gaussian mixture (3.2).
Those of `cluster_group` teach a classifier of examples, the head, which gives the labels.

Deviations and options, the text's value last:

    L_N                     weights w of examples; printed (eq. 11) as a count, which has no gradient
    labels                  the head's, which new examples have too; HDBSCAN's
    variances of codes      at most one; without a bound, and codes run away (nn/hierarchical.py)
    batch norm in critics   statistics of the prior's codes alone; of both, and codes run away
    clean_target            decoders are asked for the image before augmentation; the augmented one
    prior_share             so many examples are decoded with lower groups from their priors, or z_0 tells nothing; none
    likelihood              'auto': cross-entropy where pixels are nearly black or white, as MNIST's, squared error
                            where there are many greys, as in Fashion-MNIST; cross-entropy of all images without colours
    clusterer               'quick': clusters that come again over draws of UMAP (host/clusters.py); HDBSCAN

Some examples are held out: after every stretch of `attention_epochs` they tell how well the codes fit their priors. A
training that is broken ends there, with the last state that was found sound. A group whose codes end far from their
prior (MMD^2 above model.FAR) is reported.
"""

from jaxclust.methods.base import Method, presets
from jaxclust.methods.hrwae_gan import fit
from jaxclust.methods.hrwae_gan.config import QUICK, Config
from jaxclust.methods.hrwae_gan.model import restore

METHOD = Method(
    name="hrwae-gan",
    title="hierarchical Wasserstein autoencoder with relativistic latent critics, clustered by density",
    source="Morais, Generative deep clustering with the hierarchical and relativistic WAE-GAN, MSc thesis, IST 2021",
    Config=Config,
    presets=presets(QUICK),
    fit=fit.fit,
    restore=restore,
)
