"""Mixture of VAE experts that finds its latent sizes and its number of clusters (Santos, MSc thesis, IST 2020).

    x_i        image or feature vector            pi_k(x)   the manager: softmax over K clusters
    m, s^2     posterior mean and variance        c_ik      rec(x_i, xhat_ik) + W kl_ik, expert k on x_i
    W          weight of the KL, which ramps up   rec, kl   sums, divided by the pixels: c, with W = 1, is minus the
    b          examples of a batch                          ELBO per pixel

The pipeline, and the parts of the text that it follows:
  1 train an autoencoder with a large latent space    (4.2, shared/autoencoder.py)
  2 latent-dimension finder: PCA on posterior means   (3.3.1, 4.4.1, host/latent_dim.py)
  3 train again with that latent size                 (3.3)
  4 UMAP and 5 HDBSCAN, or a Gaussian mixture         (3.3.2, 3.3.3, shared/first_clusters.py)
  6 train the manager on the soft labels              (3.3.4, 4.4.4, shared/classifier.py)
  7 latent size of every cluster's expert             (3.3.1)
  8 mixture, stage 1: manager and experts together    (3.2, 4.5.2, mixture.py)

        L = R + alpha S + beta B                                            (eq. 3.5)
        R = 1/b sum_i sum_k pi_k(x_i) c_ik                                  (eq. 3.2)
        S = -1/b sum_i sum_k pi_k(x_i) log pi_k(x_i)      towards one-hot   (eq. 3.3)
        B = sum_k q_k log q_k,  q = 1/b sum_i pi(x_i)     towards balance   (eq. 3.4)

    and stage 2: hard labels, each expert alone on its own points (4.5.2). S and B are in losses.py.

Deviations, the text's value last, which preset 'paper' has:

    clean_target            decoders are asked for the image before augmentation; the augmented one
    schedule                learning rates follow a cosine; constant
    kl_weight               the KL weighs less; 1
    expert_kl_weight        that of the experts; 1
    explained_variance      share of it that the latent dimensions keep, .95; .90
    umap_metric             'euclidean'; 'manhattan', of L1-normalised codes
    expert widths, rates    as in config.QUICK; as in config.Config
    top_experts             each image is routed to so many experts; all
    stem                    the first block of autoencoder and manager is one convolution; a pair
    warm_start              the manager begins with the encoder's layers; with random ones
    clusterer               persistent leaves that come again over several draws of UMAP (host/clusters.py); HDBSCAN
    min_samples             10 in both presets; the text does not state HDBSCAN's
    padding                 in every preset images are padded with the median of their border; with zeros
    max_samples             beyond them images get the clusters of their nearest ones in the sample; the text is silent
"""

from jaxclust.methods.base import Method, presets
from jaxclust.methods.moe_vae import fit
from jaxclust.methods.moe_vae.config import QUICK, Config
from jaxclust.methods.moe_vae.model import restore

METHOD = Method(
    name="moe-vae",
    title="mixture of VAE experts that finds its latent sizes and its number of clusters",
    source="Santos, A Mixture-of-Experts approach to deep image clustering, MSc thesis, IST 2020",
    Config=Config,
    presets=presets(QUICK),
    fit=fit.fit,
    restore=restore,
)
